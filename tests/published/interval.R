# Retention when the day of lapse is known only between two days: Turnbull's estimate by R's survfit,
# the numbers that tests/retention/test_interval_censoring.py compares with.
#
#   Rscript tests/published/interval.R > tests/published/interval.json
#
# Needs R with survival, KMsurv and jsonlite (Debian: r-base-core, r-cran-survival, r-cran-kmsurv,
# r-cran-jsonlite).

suppressMessages(library(survival))
library(KMsurv)
library(jsonlite)

# Cosmetic deterioration of the breast: Klein and Moeschberger, Survival Analysis, table 1.18.
data(bcdeter)

curve <- function(lower, upper, times) {
  upper[is.na(upper)] <- Inf
  fit <- survfit(Surv(ifelse(lower == 0 & upper > 0, -Inf, lower), upper, type = "interval2") ~ 1)
  summary(fit, times = times, extend = TRUE)$surv
}
arms <- lapply(1:2, function(arm) {
  with(bcdeter[bcdeter$treat == arm, ], curve(lower, upper, 0:60))
})

# Made up: exact days, intervals that overlap, right censoring.
i <- 1:150
made <- data.frame(lower = 1 + (i * 37) %% 19)
made$upper <- made$lower + (i * 29) %% 7
made$upper[(i * 13) %% 5 == 0] <- NA

cat(toJSON(
  list(
    source = "R's survival::survfit of interval2 data; KMsurv::bcdeter",
    command = "Rscript tests/published/interval.R > tests/published/interval.json",
    bcdeter = list(
      data = as.list(bcdeter), times = 0:60, treat1 = arms[[1]], treat2 = arms[[2]]
    ),
    made = list(
      data = as.list(made), times = 0:26, estimate = curve(made$lower, made$upper, 0:26)
    )
  ),
  digits = I(12), na = "null", null = "null", auto_unbox = TRUE
), "\n", sep = "")
