# Weighted, clustered and logit or arcsin curves, cumulative hazards and conditional curves by R's
# survfit, the numbers that tests/retention/test_curves.py and its neighbours compare with.
#
#   Rscript tests/published/curves.R > tests/published/curves.json
#
# Needs R with survival and jsonlite (Debian: r-base-core, r-cran-survival, r-cran-jsonlite).

suppressMessages(library(survival))
library(jsonlite)

types <- c("log-log", "log", "plain", "logit", "arcsin")

# The robust error is the only one with weights; the naive one is the default without.
# Of a long curve every fourth row is kept.
kept <- function(fit) seq(1, length(fit$time), by = if (length(fit$time) > 50) 4 else 1)
values <- function(fit) {
  error <- if (isFALSE(fit$logse)) fit$std.err else fit$std.err * fit$surv
  lapply(
    list(
      time = fit$time, n_at_risk = fit$n.risk, n_events = fit$n.event, estimate = fit$surv,
      std_error = error, hazard = fit$cumhaz, hazard_error = fit$std.chaz
    ), `[`, kept(fit)
  )
}
limits <- function(fit) list(conf_low = fit$lower[kept(fit)], conf_high = fit$upper[kept(fit)])
clear <- function(x) rapply(x, function(v) ifelse(is.finite(v), v, NA), "numeric", how = "replace")

cases <- list()
add <- function(name, fit_of) {
  found <- values(fit_of("plain", 1))
  for (type in types) found[[type]] <- limits(fit_of(type, 1))
  # exp(-H) is symmetric on the log-log scale where H is on the log scale.
  found$hazard_log <- limits(fit_of("log-log", 2))
  found$hazard_plain <- limits(fit_of("log", 2))
  cases[[name]] <<- clear(found)
}

d <- transform(lung, event = as.integer(status == 2), w = 1 + (age %% 3) / 2)
d <- d[!is.na(d$inst), ]
for (sex in 1:2) {
  part <- d[d$sex == sex, ]
  add(paste("lung", sex), function(type, s) {
    survfit(Surv(time, event) ~ 1, part, conf.type = type, stype = s)
  })
  add(paste("lung weighted", sex), function(type, s) {
    survfit(Surv(time, event) ~ 1, part, weights = w, robust = TRUE, conf.type = type, stype = s)
  })
  add(paste("lung clustered", sex), function(type, s) {
    survfit(Surv(time, event) ~ 1, part, weights = w, cluster = inst, robust = TRUE,
            conf.type = type, stype = s)
  })
}

# Made up by integer arithmetic: events at time 0 or delayed entry, heavy ties, clusters.
i <- 1:120
made <- data.frame(
  time = (i * 37) %% 23, event = as.integer((i * 29) %% 7 < 3), weight = 0.5 + ((i * 13) %% 11) / 4,
  freq = 1 + (i * 5) %% 3, cluster = (i * 17) %% 19
)
made$entry <- pmax(0, made$time - 1 - (i * 41) %% 15)
late <- made[made$time > 0, ]
late$row <- seq_len(nrow(late))
robust <- function(data, type, s) {
  survfit(Surv(time, event) ~ 1, data, weights = weight, robust = TRUE, conf.type = type, stype = s)
}
add("made weighted", function(type, s) robust(made, type, s))
add("made clustered", function(type, s) {
  survfit(Surv(time, event) ~ 1, made, weights = weight, cluster = cluster, robust = TRUE,
          conf.type = type, stype = s)
})
add("made repeated", function(type, s) {
  robust(made[rep(seq_len(nrow(made)), made$freq), ], type, s)
})
add("made late weighted", function(type, s) {
  survfit(Surv(entry, time, event) ~ 1, late, weights = weight, cluster = row, robust = TRUE,
          conf.type = type, stype = s)
})
add("made late clustered", function(type, s) {
  survfit(Surv(entry, time, event) ~ 1, late, weights = weight, cluster = cluster, robust = TRUE,
          conf.type = type, stype = s)
})
edge <- function(name, time, event) {
  data <- data.frame(time = time, event = event)
  add(name, function(type, s) survfit(Surv(time, event) ~ 1, data, conf.type = type, stype = s))
}
edge("edge one row", 7, 1)
edge("edge all censored", c(3, 8, 8), c(0, 0, 0))
edge("edge all events", c(1, 3, 3, 8), c(1, 1, 1, 1))
edge("edge event at 0", c(0, 0, 1, 2, 2, 3, 5, 5), c(1, 0, 1, 1, 0, 0, 1, 1))

# Still here at 365 and 540 given still here at 180, from R's curve started there.
given <- list()
for (sex in 1:2) {
  s <- summary(survfit(Surv(time, event) ~ 1, d[d$sex == sex, ], start.time = 181,
                       conf.type = "log-log"), times = c(365, 540))
  given[[paste(sex)]] <- list(
    time = s$time, n_at_risk = s$n.risk, estimate = s$surv, std_error = s$std.err,
    conf_low = s$lower, conf_high = s$upper
  )
}

# Inverse probability of treatment weights, stabilised, of the colon trial.
trial <- subset(colon, etype == 2 & rx != "Lev")
trial <- na.omit(trial[, c("time", "status", "rx", "age", "sex", "nodes", "obstruct", "adhere", "extent")])
treated <- trial$rx == "Lev+5FU"
share <- fitted(glm(treated ~ age + sex + nodes + obstruct + adhere + extent, binomial, trial))
w <- ifelse(treated, mean(treated) / share, mean(!treated) / (1 - share))
fit <- survfit(Surv(time, status) ~ treated, trial, weights = w, robust = TRUE)
s <- summary(fit, times = 1825)
colon_trial <- list(
  time = trial$time, event = trial$status, treated = as.integer(treated), weight = unname(w),
  estimate = s$surv, std_error = s$std.err
)

cat(toJSON(
  list(
    source = "R's survival::survfit",
    command = "Rscript tests/published/curves.R > tests/published/curves.json",
    cases = cases, given = given, colon = colon_trial, made = as.list(made)
  ),
  digits = I(12), na = "null", null = "null"
), "\n", sep = "")
