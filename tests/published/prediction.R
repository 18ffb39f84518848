# Brier score, time-dependent AUC and calibration by R's riskRegression, survival and geepack, the
# numbers tests/retention compares with.
#
#   Rscript tests/published/prediction.R > tests/published/prediction.json
#
# Needs R with riskRegression, prodlim, survival, geepack, jsonlite (Debian: r-cran-...).

suppressMessages({
  library(survival)
  library(riskRegression)
  library(prodlim)
  library(geepack)
})

scores <- function(formula, data, risks, times, ...) {
  s <- Score(
    list(model = risks), formula, data = data, times = times, metrics = c("auc", "brier"),
    se.fit = TRUE, cens.model = "km", null.model = TRUE, ...
  )
  brier <- s$Brier$score
  null <- brier$Brier[brier$model == "Null model"]
  brier <- brier[brier$model != "Null model", ]
  list(
    horizon = times, auc = s$AUC$score$AUC, auc_error = s$AUC$score$se, brier = brier$Brier,
    brier_error = brier$se, null = null
  )
}

# Calibration slope: least squares of pseudo-values on the transformed risk.
slope <- function(data, risk, at) {
  current <<- data # pseudo() looks for the data where the fit was called
  fit <- survfit(Surv(time, event) ~ 1, current, robust = TRUE)
  frame <- data.frame(y = 1 - as.vector(pseudo(fit, times = at)), x = log(-log(1 - risk)))
  id <- seq_len(nrow(frame))
  gee <- geese(
    y ~ x,
    id = id, data = frame, scale.fix = TRUE, family = gaussian, mean.link = "cloglog",
    corstr = "independence", control = geese.control(epsilon = 1e-12, maxit = 500)
  )
  told <- summary(fit, times = at)
  list(
    slope = unname(gee$beta[2]), slope_error = sqrt(gee$vbeta[2, 2]), observed = 1 - told$surv,
    observed_error = told$std.err
  )
}

times <- c(180, 365, 540)
known <- lung[!is.na(lung$ph.ecog), ]
known$event <- as.integer(known$status == 2)
cox <- coxph(Surv(time, event) ~ age + sex + ph.ecog, known, x = TRUE)
risks <- predictRisk(cox, known, times = times)

# Heavy ties in time and risk, events and censorings on day 0.
i <- 0:89
made <- data.frame(
  time = (i * i * 7 + i) %% 13, event = as.integer((i * 11 + i %/% 7) %% 3 > 0),
  risk = (1 + (i * i * 5 + i %/% 4) %% 9) / 10
)
made$cause <- ifelse(made$event == 0, 0, 1 + (i %/% 2) %% 2)
at <- c(2, 5, 9)
twice <- cbind(made$risk, made$risk, made$risk)

result <- list(
  lung = c(
    list(time = known$time, event = known$event, risk = t(risks)),
    scores(Surv(time, event) ~ 1, known, risks, times),
    list(slopes = lapply(1:3, function(k) slope(known, risks[, k], times[k])))
  ),
  made = c(
    as.list(made), scores(Surv(time, event) ~ 1, made, twice, at),
    list(slopes = lapply(at, function(k) slope(made, made$risk, k)))
  ),
  causes = scores(Hist(time, cause) ~ 1, made, twice, at, cause = 1)
)
cat(jsonlite::toJSON(result, digits = NA, auto_unbox = TRUE, na = "null", null = "null"))
