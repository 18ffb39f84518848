# Kaplan-Meier curves and quantiles by R's survfit, the numbers tests/retention compares with.
#
#   Rscript tests/published/survfit.R > tests/published/survfit.json
#
# Needs R with the package survival (Debian: r-base-core, r-cran-survival), nothing else.

library(survival)

text <- function(x) paste0('"', x, '"')
number <- function(x) ifelse(is.na(x) | is.infinite(x), "null", sprintf("%.17g", x))
array <- function(x) paste0("[", paste(x, collapse = ", "), "]")
object <- function(...) {
  parts <- list(...)
  paste0("{", paste(text(names(parts)), parts, sep = ": ", collapse = ", "), "}")
}

# Every 'every'-th row of a long curve is kept, its last row always.
curve <- function(fit, every = 1) {
  at <- sort(unique(c(seq(1, length(fit$time), by = every), length(fit$time))))
  object(
    time = array(number(fit$time[at])), n_at_risk = array(number(fit$n.risk[at])),
    n_events = array(number(fit$n.event[at])), n_censored = array(number(fit$n.censor[at])),
    estimate = array(number(fit$surv[at])),
    std_error = array(number((fit$surv * fit$std.err)[at])),
    conf_low = array(number(fit$lower[at])), conf_high = array(number(fit$upper[at]))
  )
}

quantiles <- function(fit, shares) {
  found <- quantile(fit, probs = shares)
  object(
    q = array(number(shares)), estimate = array(number(found$quantile)),
    conf_low = array(number(found$lower)), conf_high = array(number(found$upper))
  )
}

at_times <- function(fit, times) {
  s <- summary(fit, times = times, extend = TRUE)
  object(
    time = array(number(s$time)), n_at_risk = array(number(s$n.risk)),
    estimate = array(number(s$surv)), std_error = array(number(s$std.err)),
    conf_low = array(number(s$lower)), conf_high = array(number(s$upper))
  )
}

cases <- list()
add <- function(name, formula, data, times, conf_type, conf_level = 0.95, every = 1) {
  fit <- survfit(formula, data = data, conf.type = conf_type, conf.int = conf_level)
  shares <- c(0.1, 0.25, 0.5, 0.75, 0.9)
  cases[[length(cases) + 1]] <<- object(
    name = text(name), conf_type = text(conf_type), conf_level = number(conf_level),
    curve = curve(fit, every), quantiles = quantiles(fit, shares), at = at_times(fit, times)
  )
}

lung_times <- c(0, 3, 5, 180, 365, 500, 1022)
for (type in c("log-log", "log", "plain")) {
  add("lung", Surv(time, status == 2) ~ 1, lung, lung_times, type)
  add("lung sex=1", Surv(time, status == 2) ~ 1, lung[lung$sex == 1, ], lung_times, type)
  add("lung sex=2", Surv(time, status == 2) ~ 1, lung[lung$sex == 2, ], lung_times, type)
}
add("lung", Surv(time, status == 2) ~ 1, lung, lung_times, "log-log", 0.9)

nafld_times <- c(0, 365, 1826, 3652, 6000)
add("nafld", Surv(futime, status) ~ 1, nafld1, nafld_times, "log-log", every = 50)
add("nafld male=0", Surv(futime, status) ~ 1, nafld1[nafld1$male == 0, ], nafld_times, "log-log",
    every = 50)
add("nafld male=1", Surv(futime, status) ~ 1, nafld1[nafld1$male == 1, ], nafld_times, "log",
    every = 50)

# Age as the time scale: under observation from the month of diagnosis to that of death.
mgus <- transform(mgus2, start = 12 * age, stop = 12 * age + futime)
for (sex in c("F", "M")) {
  add(paste0("mgus2 sex=", sex), Surv(start, stop, death) ~ 1, mgus[mgus$sex == sex, ],
      12 * c(50, 60, 70, 80, 90), "log-log", every = 20)
}

# Heavy ties: the same patients in quarters of a year.
tied <- transform(nafld1, quarter = futime %/% 91)
add("nafld quarters", Surv(quarter, status) ~ 1, tied, c(0, 1, 10, 40), "plain")

# An event and a censoring at time 0, nobody left at the end.
small <- data.frame(time = c(0, 0, 1, 2, 2, 3, 5, 5), event = c(1, 0, 1, 1, 0, 0, 1, 1))
for (type in c("log-log", "log", "plain")) {
  add("event at 0", Surv(time, event) ~ 1, small, 0:7, type)
}
# The first exit is a censoring, and the curve is flat at exactly one half.
flat <- data.frame(time = c(1, 2, 3, 4, 5, 6, 7), event = c(0, 1, 0, 1, 1, 0, 1))
flat <- rbind(flat, data.frame(time = c(2, 6), event = c(1, 0)))
half <- data.frame(time = c(1, 2, 3, 4), event = c(1, 1, 1, 1))
ends_flat <- data.frame(time = c(1, 2, 3, 4), event = c(1, 1, 0, 0))
for (type in c("log-log", "log", "plain")) {
  add("censored first", Surv(time, event) ~ 1, flat, 0:8, type)
  add("flat at a half", Surv(time, event) ~ 1, half, 0:5, type)
  add("ends flat at a half", Surv(time, event) ~ 1, ends_flat, 0:5, type)
}

versions <- object(
  R = text(paste(R.version$major, R.version$minor, sep = ".")),
  survival = text(as.character(packageVersion("survival")))
)
cat(object(
  source = text("R's survival::survfit"),
  command = text("Rscript tests/published/survfit.R > tests/published/survfit.json"),
  versions = versions, cases = paste0("[\n", paste(cases, collapse = ",\n"), "\n]")
), "\n", sep = "")
