# Quantiles of weighted curves and of curves with logit or arcsin bands by R's quantile.survfit, and
# weighted curves of the whole lung trial; tests/retention/test_curves.py compares with them.
#
#   Rscript tests/published/quantiles.R > tests/published/quantiles.json
#
# Needs R with survival and jsonlite (Debian: r-base-core, r-cran-survival, r-cran-jsonlite).

suppressMessages(library(survival))
library(jsonlite)

types <- c("log-log", "log", "plain", "logit", "arcsin")
shares <- c(0.1, 0.25, 0.5, 0.6, 0.75, 0.95)
d <- transform(lung, event = as.integer(status == 2), w = 1 + (age %% 3) / 2)

quantiles <- function(fit) {
  lapply(quantile(fit, probs = shares), function(x) as.vector(unname(x)))
}
cases <- list()
for (sex in 1:2) {
  part <- d[d$sex == sex, ]
  for (type in types) {
    cases[[paste("plain", sex, type)]] <-
      quantiles(survfit(Surv(time, event) ~ 1, part, conf.type = type))
    cases[[paste("weighted", sex, type)]] <-
      quantiles(survfit(Surv(time, event) ~ 1, part, weights = w, robust = TRUE, conf.type = type))
  }
}

weighted <- list()
for (sex in 1:2) {
  fit <- survfit(Surv(time, event) ~ 1, d[d$sex == sex, ], weights = w, robust = TRUE)
  s <- summary(fit, times = 365)
  weighted[[sex]] <- list(sex = sex, estimate = s$surv, std_error = s$std.err)
}

cat(toJSON(
  list(
    source = "R's survival::quantile.survfit and survfit",
    command = "Rscript tests/published/quantiles.R > tests/published/quantiles.json",
    shares = shares, cases = cases, weighted = weighted
  ),
  digits = I(12), na = "null", null = "null", auto_unbox = TRUE
), "\n", sep = "")
