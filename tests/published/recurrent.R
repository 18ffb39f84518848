# Mean cumulative counts, recurrent-event regression and rate models by R's survival, mets, MASS and
# sandwich, the numbers tests/retention compares with.
#
#   Rscript tests/published/recurrent.R > tests/published/recurrent.json
#
# Needs R with survival, mets, MASS, sandwich and jsonlite (Debian: r-base-core, r-cran-survival,
# r-cran-mets, r-cran-mass, r-cran-sandwich, r-cran-jsonlite).

suppressMessages({
  library(survival)
  library(mets)
  library(MASS)
})

# --- mean cumulative counts: survfit's cumulative hazard with the error by patient ----------------

mcf <- function(fit) {
  list(time = fit$time, n_at_risk = fit$n.risk, n_events = fit$n.event, n_censored = fit$n.censor,
       estimate = fit$cumhaz, std_error = fit$std.chaz)
}

# Heavy ties, gaps, late starts: visits of patient k at days made of k, by whole numbers only.
i <- seq_len(40)
end <- 20 + (i * 37) %% 101
rows <- do.call(rbind, lapply(i, function(k) {
  visit <- sort(unique((k * seq_len(6) * 29) %% 113))
  visit <- visit[visit > 0 & visit <= end[k]]
  stops <- unique(c(visit, end[k]))
  data.frame(patient_id = k, start = c(0, stops[-length(stops)]), stop = stops,
             event = as.integer(stops %in% visit),
             death = as.integer((k * 13) %% 5 < 2 & stops == end[k]), weight = 1 + k %% 3 / 2,
             site = k %% 3)
}))
late <- rows[!(rows$start == 0 & rows$patient_id %% 2 == 0 & rows$stop < end[rows$patient_id]), ]
late <- late[!(late$patient_id %% 7 == 0 & late$start %in% late$stop[late$event == 1] &
               late$start %% 3 == 0), ]

weighted <- survfit(Surv(start, stop, event) ~ 1, rows, id = patient_id, weights = weight)

# --- Ghosh and Lin 2000: mets, which knows no ties ------------------------------------------------

# Every stop of patient k moves by k parts of 41 of a day, so that no two patients share a time.
untied <- transform(rows, start = ifelse(start == 0, 0, start * 41 + patient_id),
                    stop = stop * 41 + patient_id, event = ifelse(death == 1, 0, event))
recurrent <- phreg(Surv(start, stop, event) ~ cluster(patient_id), data = untied)
dying <- phreg(Surv(start, stop, death) ~ cluster(patient_id), data = untied)
marginal <- recurrentMarginal(recurrent, dying)
ghosh_lin <- list(time = c(marginal$times), estimate = c(marginal$mu), std_error = c(marginal$se.mu))

# With ties: the formula of the paper, patient by patient.
direct <- function(data) {
  time <- sort(unique(data$stop[data$event == 1 | data$death == 1]))
  risk <- sapply(time, function(t) data$start < t & t <= data$stop)
  here <- outer(data$stop, time, "==")
  by_patient <- function(m) rowsum(m * 1, data$patient_id)
  y <- by_patient(risk); n <- by_patient(here * data$event); d <- by_patient(here * data$death)
  total <- colSums(y); dr <- colSums(n) / total; dl <- colSums(d) / total
  before <- c(1, cumprod(1 - dl))[seq_along(time)]
  mean <- cumsum(before * dr)
  influence <- sapply(seq_along(time), function(k) {
    upto <- seq_len(k)
    own <- sweep(n - sweep(y, 2, dr, "*"), 2, before / total, "*")[, upto, drop = FALSE]
    dead <- sweep(d - sweep(y, 2, dl, "*"), 2, (mean[k] - mean) / total, "*")[, upto, drop = FALSE]
    rowSums(own) - rowSums(dead)
  })
  list(time = time, estimate = mean, std_error = sqrt(colSums(influence^2)))
}

# --- recurrent-event regression -------------------------------------------------------------------

cox <- function(fit) {
  list(term = names(coef(fit)), estimate = unname(coef(fit)),
       std_error = unname(sqrt(diag(fit$var))), n = fit$n, n_events = fit$nevent)
}
ag <- function(ties) coxph(Surv(start, stop, event) ~ rx + number + size, bladder2,
                           cluster = id, ties = ties)
regression <- list(
  ag_efron = cox(ag("efron")), ag_breslow = cox(ag("breslow")),
  pwp_total = cox(coxph(Surv(start, stop, event) ~ rx + number + size + strata(enum), bladder2,
                        cluster = id)),
  pwp_gap = cox(coxph(Surv(stop - start, event) ~ rx + number + size + strata(enum), bladder2,
                      cluster = id)),
  cgd = cox(coxph(Surv(tstart, tstop, status) ~ treat + age + steroids, cgd, cluster = id)),
  cgd_pwp_total = cox(coxph(Surv(tstart, tstop, status) ~ treat + age + strata(enum), cgd,
                            cluster = id)),
  cgd_pwp_gap = cox(coxph(Surv(tstop - tstart, status) ~ treat + age + strata(enum), cgd,
                          cluster = id))
)

# --- rates ----------------------------------------------------------------------------------------

j <- seq_len(200)
rates <- data.frame(exposure = 30 + (j * 53) %% 331, age = 20 + (j * 29) %% 61, arm = j %% 2,
                    site = j %% 20)
rates$events <- (rates$exposure * (1 + (j * 17) %% 11) * (1 + (j * 7) %% 5)) %/% 1200
poisson_fit <- glm(events ~ age + arm + offset(log(exposure)), poisson, rates,
                   control = list(epsilon = 1e-14, maxit = 100))
nb_fit <- glm.nb(events ~ age + arm + offset(log(exposure)), rates,
                 control = glm.control(epsilon = 1e-12, maxit = 200))
root <- function(v) unname(sqrt(diag(v)))
rate <- list(
  data = rates, term = names(coef(poisson_fit)),
  poisson = list(
    estimate = unname(coef(poisson_fit)), naive = root(vcov(poisson_fit)),
    robust = root(sandwich::sandwich(poisson_fit)),
    cluster = root(sandwich::vcovCL(poisson_fit, rates$site, type = "HC0", cadjust = FALSE)),
    dispersion = sum(residuals(poisson_fit, "pearson")^2) / df.residual(poisson_fit)
  ),
  negative_binomial = list(estimate = unname(coef(nb_fit)), theta = nb_fit$theta,
                           robust = root(sandwich::sandwich(nb_fit)))
)

cat(jsonlite::toJSON(
  list(
    mcf = list(
      cgd = mcf(survfit(Surv(tstart, tstop, status) ~ 1, cgd, id = id)),
      bladder2 = mcf(survfit(Surv(start, stop, event) ~ 1, bladder2, id = id)),
      made = mcf(survfit(Surv(start, stop, event) ~ 1, rows, id = patient_id)),
      late = mcf(survfit(Surv(start, stop, event) ~ 1, late, id = patient_id)),
      weighted = mcf(weighted)
    ),
    rows = rows, late = late, untied = untied[, c("patient_id", "start", "stop", "event", "death")],
    ghosh_lin = ghosh_lin, ghosh_lin_ties = direct(rows), ghosh_lin_late = direct(late),
    regression = regression, rate = rate
  ),
  digits = NA, auto_unbox = TRUE, dataframe = "columns"
))
