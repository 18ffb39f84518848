# Simultaneous bands by R's km.ci, and the tables of critical values it reads them from, the numbers
# that tests/retention/test_bands.py compares with.
#
#   Rscript tests/published/bands.R > tests/published/bands.json
#
# Needs R with survival, km.ci and jsonlite (Debian: r-base-core, r-cran-survival, r-cran-km.ci,
# r-cran-jsonlite).

suppressMessages(library(survival))
library(km.ci)
library(jsonlite)

# Rows are the ends 0.10, 0.12, ... of the stretch, columns its starts; every fourth is kept.
thin <- function(name, starts) {
  table <- unname(get(name, asNamespace("km.ci")))
  rows <- seq(1, nrow(table), by = 4)
  columns <- seq(1, ncol(table), by = 4)
  list(end = (0.1 + 0.02 * (rows - 1)), start = starts[columns], value = table[rows, columns])
}
tables <- list()
for (level in c(90, 95, 99)) {
  if (level < 99) {
    tables[[paste("equal-precision", level)]] <-
      thin(paste0("critical.value.nair.", level), 0.02 * (1:30))
  }
  tables[[paste("hall-wellner", level)]] <-
    thin(paste0("critical.value.hall.", level), 0.02 * (0:30))
}

methods <- c(
  "equal-precision plain" = "epband", "equal-precision log-log" = "logep",
  "hall-wellner plain" = "hall-wellner", "hall-wellner log-log" = "loghall"
)
bands <- list()
for (sex in 1:2) {
  fit <- survfit(Surv(time, status == 2) ~ 1, lung[lung$sex == sex, ])
  found <- lapply(methods, function(method) {
    band <- km.ci(fit, conf.level = 0.95, tl = 100, tu = 500, method = method)
    at <- which(band$time >= 100 & band$time <= 500)
    at <- at[seq(1, length(at), by = 5)]
    list(time = band$time[at], conf_low = band$lower[at], conf_high = band$upper[at])
  })
  bands[[paste(sex)]] <- found
}

cat(toJSON(
  list(
    source = "R's km.ci::km.ci and its tables of critical values",
    command = "Rscript tests/published/bands.R > tests/published/bands.json",
    tables = tables, bands = bands
  ),
  digits = I(12), na = "null", null = "null", auto_unbox = TRUE
), "\n", sep = "")
