# Segmented regressions by R's nlme (AR(1) by REML) and sandwich (Newey-West), the numbers that
# tests/effects/test_ar1.py, test_newey_west.py and test_interrupted_time_series.py compare with.
#
#   Rscript tests/published/interrupted_series.R > tests/published/interrupted_series.json
#
# Needs R with nlme, sandwich and jsonlite (Debian: r-base-core, r-cran-nlme, r-cran-sandwich,
# r-cran-jsonlite). Seatbelts: car drivers killed or seriously injured in Great Britain by month,
# 1969 to 1984; the law of February 1983 (Harvey and Durbin, JRSS A 1986;149:187).

suppressMessages({library(nlme); library(sandwich); library(jsonlite)})

belts <- as.data.frame(Seatbelts)
belts$t <- 0:191
belts$month <- rep(1:12, 16)
start <- 169
model <- function(data, y, start) {
  data$y <- y
  data$after <- as.numeric(data$t >= start)
  data$since <- pmax(data$t - start, 0)
  data
}
waves <- function(data, pairs) {
  for (k in seq_len(pairs)) {
    data[[paste0("s", k)]] <- sin(2 * pi * k * (data$month - 1) / 12)
    data[[paste0("c", k)]] <- cos(2 * pi * k * (data$month - 1) / 12)
  }
  data
}
control <- glsControl(tolerance = 1e-10, msTol = 1e-12, maxIter = 500, msMaxIter = 500)
fitted_by <- function(formula, data, weights = NULL) {
  fit <- gls(formula, data = data, correlation = corAR1(form = ~ t), method = "REML",
             weights = weights, control = control)
  list(rho = as.numeric(coef(fit$modelStruct$corStruct, unconstrained = FALSE)),
       sigma = fit$sigma, coefficients = as.numeric(coef(fit)),
       std_error = as.numeric(sqrt(diag(vcov(fit)))), log_likelihood = as.numeric(logLik(fit)))
}
newey <- function(formula, data, lag) {
  fit <- lm(formula, data = data)
  list(lag = lag, coefficients = as.numeric(coef(fit)), std_error =
    as.numeric(sqrt(diag(NeweyWest(fit, lag = lag, prewhite = FALSE, adjust = TRUE)))))
}

months <- y ~ after + since + t + factor(month)
harmonics <- y ~ after + since + t + s1 + c1 + s2 + c2
plain <- y ~ after + since + t
data <- waves(model(belts, belts$drivers, start), 2)
logs <- waves(model(belts, log(belts$drivers), start), 2)
gap <- logs[!(logs$t %in% (start + 0:2)), ]
gap$since <- pmax(gap$t - start - 3, 0)
difference <- waves(model(belts, log(belts$front) - log(belts$rear), start), 2)

# A small series with memory, its numbers made by a rule that needs no generator.
small <- data.frame(t = 0:29)
e <- numeric(30)
for (i in 1:30) e[i] <- (if (i > 1) 0.5 * e[i - 1] else 0) + ((i * 37) %% 17 - 8) / 4
small <- model(small, 10 + 0.1 * small$t - 3 * (small$t >= 15) + e, 15)
small$w <- 1 + (small$t %% 4)

writeLines(toJSON(list(
  source = paste("nlme::gls and sandwich::NeweyWest on datasets::Seatbelts and a constructed series"),
  versions = list(R = as.character(getRversion()), nlme = as.character(packageVersion("nlme"))),
  seatbelts = list(drivers = belts$drivers, front = belts$front, rear = belts$rear,
                   kms = belts$kms, start = start),
  months = fitted_by(months, data),
  harmonics = fitted_by(harmonics, data),
  log_harmonics = fitted_by(harmonics, logs),
  wash_in = fitted_by(harmonics, gap),
  controlled = fitted_by(harmonics, difference),
  newey_west = newey(harmonics, data, 4),
  small = list(y = small$y, weight = small$w, start = 15,
               ar1 = fitted_by(plain, small),
               weighted = fitted_by(plain, small, varFixed(~ I(1 / w))),
               newey_west = newey(plain, small, 3))
), digits = NA, auto_unbox = TRUE, pretty = TRUE))
