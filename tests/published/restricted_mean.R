# Restricted mean times of weighted and clustered patients, by the residuals of R's survfit, and of
# unweighted ones by its print method; tests/retention/test_restricted_mean.py compares with them.
#
#   Rscript tests/published/restricted_mean.R > tests/published/restricted_mean.json
#
# Needs R with survival and jsonlite (Debian: r-base-core, r-cran-survival, r-cran-jsonlite).

suppressMessages(library(survival))
library(jsonlite)

# The mean and its error as summary() gives them; the horizon must not be after the last time.
plain <- function(fit, horizon) {
  table <- summary(fit, rmean = horizon)$table
  list(estimate = unname(table["rmean"]), std_error = unname(table["se(rmean)"]))
}

# The mean by summary(), the error from the residuals: se(rmean) of a weighted fit takes the sums of
# weights for numbers of patients.
robust <- function(fit, horizon, weight, cluster) {
  pull <- as.vector(residuals(fit, times = horizon, type = "rmst"))
  list(
    estimate = unname(summary(fit, rmean = horizon)$table["rmean"]),
    std_error = sqrt(sum(rowsum(pull * weight, cluster)^2))
  )
}

d <- transform(lung, event = as.integer(status == 2), w = 1 + (age %% 3) / 2)
d <- d[!is.na(d$inst), ]
cases <- list()
for (horizon in c(180, 365, 730)) {
  for (sex in 1:2) {
    part <- d[d$sex == sex, ]
    one <- survfit(Surv(time, event) ~ 1, part)
    weighted <- survfit(Surv(time, event) ~ 1, part, weights = w)
    cases[[length(cases) + 1]] <- list(
      horizon = horizon, sex = sex, plain = plain(one, horizon),
      weighted = robust(weighted, horizon, part$w, seq_len(nrow(part))),
      clustered = robust(weighted, horizon, part$w, part$inst)
    )
  }
}

all_patients <- list()
for (horizon in c(365, 730, 965)) {
  for (sex in 1:2) {
    fit <- survfit(Surv(time, status == 2) ~ 1, lung[lung$sex == sex, ])
    all_patients[[length(all_patients) + 1]] <- c(
      list(horizon = horizon, sex = sex), plain(fit, horizon)
    )
  }
}

# Made up: an event at time 0, ties, delayed entry.
i <- 1:60
made <- data.frame(time = (i * 37) %% 23, event = as.integer((i * 29) %% 7 < 3))
made$entry <- pmax(0, made$time - 1 - (i * 41) %% 15)
late <- made[made$time > 0, ]
small <- list(
  made = plain(survfit(Surv(time, event) ~ 1, made), 15),
  late = plain(survfit(Surv(entry, time, event) ~ 1, late), 15)
)

cat(toJSON(
  list(
    source = "R's survival::survfit, summary.survfit and residuals.survfit",
    command = "Rscript tests/published/restricted_mean.R > tests/published/restricted_mean.json",
    cases = cases, all_patients = all_patients, small = small, made = as.list(made)
  ),
  digits = I(12), na = "null", null = "null", auto_unbox = TRUE
), "\n", sep = "")
