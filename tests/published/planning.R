# Sample sizes and powers by R's power.prop.test and power.t.test, and generalised least squares
# variances of roll-outs and interrupted series by plain matrix algebra: the numbers
# tests/effects/test_planning*.py and test_roll_out.py compare with.
#
#   Rscript tests/published/planning.R > tests/published/planning.json
#
# Needs R with the packages nlme and jsonlite (Debian: r-base-core, r-cran-nlme, r-cran-jsonlite).

suppressMessages(library(nlme))

size_prop <- function(a, b, power, alpha = .05)
  power.prop.test(p1 = a, p2 = b, power = power, sig.level = alpha, tol = 1e-12)$n
power_prop <- function(a, b, n) power.prop.test(p1 = a, p2 = b, n = n)$power
size_t <- function(d, sd, power) power.t.test(delta = d, sd = sd, power = power, tol = 1e-12)$n
power_t <- function(d, sd, n) power.t.test(delta = d, sd = sd, n = n)$power

proportions <- list(
  sizes = c(size_prop(.3, .4, .8), size_prop(.5, .75, .9), size_prop(.05, .03, .9, .01)),
  powers = c(power_prop(.5, .75, 50), power_prop(.1, .15, 400))
)
means <- list(
  sizes = c(size_t(1, 1, .9), size_t(5, 15, .8), size_t(2, 1, .8)),
  powers = c(power_t(1, 1, 20), power_t(5, 15, 100), power_t(1, 1, 4))
)

# --- roll-outs: the whole study as one vector, a clinic's correlation from nlme's own classes ------

wedge <- function(clinics, periods) {
  start <- 1 + floor((seq_len(clinics) - 1) * (periods - 1) / clinics)
  outer(start, seq_len(periods) - 1, function(s, p) as.numeric(p >= s))
}
parallel_baseline <- function(clinics, periods) {
  table <- matrix(0, clinics, periods)
  table[seq_len(clinics / 2), -1] <- 1
  table
}
gls_error <- function(table, between, noise, correlation, by_exposure) {
  clinics <- nrow(table); periods <- ncol(table)
  v <- between * correlation + diag(noise, periods)
  whole <- solve(kronecker(diag(clinics), v))
  time <- kronecker(rep(1, clinics), diag(periods))
  exposure <- c(t(t(apply(table, 1, cumsum))))
  if (by_exposure) {
    effect <- outer(exposure, seq_len(max(exposure)), `==`) * 1
    weights <- colSums(effect) / sum(effect)
  } else {
    effect <- matrix((exposure > 0) * 1); weights <- 1
  }
  x <- cbind(time, effect)
  covariance <- solve(t(x) %*% whole %*% x)
  c <- c(rep(0, periods), weights)
  sqrt(drop(t(c) %*% covariance %*% c))
}
nested <- function(periods, cac) { m <- matrix(cac, periods, periods); diag(m) <- 1; m }
# nlme's continuous AR(1) is the decay of correlation with distance.
decay <- function(periods, cac)
  corMatrix(Initialize(corCAR1(cac, form = ~t), data.frame(t = seq_len(periods))))
roll_out <- list(
  wedge_exchangeable = gls_error(wedge(12, 5), .05, .95 / 20, nested(5, 1), FALSE),
  wedge_nested = gls_error(wedge(12, 5), .05, .95 / 20, nested(5, .8), FALSE),
  wedge_decay = gls_error(wedge(12, 5), .05, .95 / 20, decay(5, .8), FALSE),
  wedge_nested_exposure = gls_error(wedge(12, 5), .05, .95 / 20, nested(5, .8), TRUE),
  baseline_nested = gls_error(parallel_baseline(10, 4), .1, .9 / 30, nested(4, .7), FALSE)
)

# --- interrupted series -----------------------------------------------------------------------------

series_error <- function(before, after, sd, rho, season) {
  time <- seq_len(before + after) - 1
  is_after <- as.numeric(time >= before)
  x <- cbind(1, time, is_after, is_after * (time - before))
  if (season) x <- cbind(x, sin(2 * pi * time / 12), cos(2 * pi * time / 12))
  v <- sd^2 * corMatrix(Initialize(corAR1(rho, form = ~t), data.frame(t = time)))
  covariance <- solve(t(x) %*% solve(v) %*% x)
  end <- c(0, 0, 1, after - 1, rep(0, ncol(x) - 4))
  c(sqrt(diag(covariance)[3:4]), sqrt(drop(t(end) %*% covariance %*% end)))
}
series <- list(
  plain = series_error(24, 24, 2, .4, FALSE),
  seasonal = series_error(36, 12, 1.5, .2, TRUE)
)

cat(jsonlite::toJSON(
  list(
    source = "R's power.prop.test and power.t.test; matrix algebra with nlme's correlation classes",
    proportions = proportions, means = means, roll_out = roll_out, series = series,
    versions = list(R = as.character(getRversion()), nlme = as.character(packageVersion("nlme")))
  ),
  digits = NA, auto_unbox = TRUE, pretty = TRUE
), "\n")
