# Cumulative incidences by R's survfit, for tests/retention/test_cumulative_incidence.py.
#
#   Rscript tests/published/cumulative_incidence.R > tests/published/cumulative_incidence.json
#
# Needs R with the packages survival and jsonlite (Debian: r-cran-survival, r-cran-jsonlite).
# survfit's standard error is the infinitesimal jackknife. Made-up data are made by whole numbers
# and printed, so that both sides have the same.

library(survival)

curve <- function(fit, times, what = c("pcm", "death")) {
  s <- summary(fit, times = times, extend = TRUE)
  of <- function(x) lapply(setNames(match(what, fit$states), what), function(k) x[, k])
  list(time = s$time, n_at_risk = s$n.risk[, 1], estimate = of(s$pstate), std_error = of(s$std.err),
       conf_low = of(s$lower), conf_high = of(s$upper))
}
d <- mgus2
d$etime <- with(d, ifelse(pstat == 0, futime, ptime))
d$event <- factor(with(d, ifelse(pstat == 0, 2 * death, 1)), 0:2, c("censored", "pcm", "death"))
d$w <- 1 + (d$age %% 3) / 2
d$entry <- d$age %% 7
late <- d[d$etime > d$entry, ]
late$id <- seq_len(nrow(late))
months <- c(5, 60, 120, 240, 360)
women <- d[d$sex == "F", ]
men <- d[d$sex == "M", ]

i <- 0:199
made <- data.frame(time = (i * 37) %% 17, code = ((i * i + 3 * i + i %/% 7) %% 11) %% 3)
made$event <- factor(made$code, 0:2, c("censored", "a", "b"))
all_events <- made[made$code > 0, ]

cat(jsonlite::toJSON(list(
  log = curve(survfit(Surv(etime, event) ~ 1, d, conf.type = "log"), months),
  plain = curve(survfit(Surv(etime, event) ~ 1, d, conf.type = "plain", conf.int = 0.9), months),
  women = curve(survfit(Surv(etime, event) ~ 1, women), months),
  men = curve(survfit(Surv(etime, event) ~ 1, men), months),
  weighted = curve(survfit(Surv(etime, event) ~ 1, d, weights = w), months),
  late = curve(survfit(Surv(entry, etime, event) ~ 1, late, id = id), months),
  late_weighted = curve(survfit(Surv(entry, etime, event) ~ 1, late, id = id, weights = w), months),
  made = as.list(made[c("time", "code")]),
  made_curve = curve(survfit(Surv(time, event) ~ 1, made), 0:16, c("a", "b")),
  all_events = curve(survfit(Surv(time, event) ~ 1, all_events), 0:16, c("a", "b"))
), digits = NA, auto_unbox = TRUE, na = "null", null = "null"))
