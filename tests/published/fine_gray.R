# Fine and Gray's model by R's finegray + coxph and by cmprsk::crr, and one Cox model a cause, the
# numbers tests/retention compares with.
#
#   Rscript tests/published/fine_gray.R > tests/published/fine_gray.json
#
# Needs R with survival, cmprsk and jsonlite (Debian: r-base-core, r-cran-survival, r-cran-cmprsk,
# r-cran-jsonlite).

suppressMessages({
  library(survival)
  library(cmprsk)
})

myeloma <- mgus2
myeloma$etime <- with(myeloma, ifelse(pstat == 0, futime, ptime))
myeloma$cause <- with(myeloma, factor(ifelse(pstat == 0, 2 * death, 1), 0:2,
                                      c("censored", "pcm", "death")))
myeloma$patient_id <- seq_len(nrow(myeloma))

# Heavy ties, by whole numbers only; three causes.
i <- seq_len(240)
made <- data.frame(
  patient_id = i, time = 1 + ((i * 37) %% 101) %/% 6,
  cause = c("censored", "lapsed", "died", "lapsed", "moved")[1 + (i * 13) %% 5],
  age = 30 + (i * 29) %% 53, arm = (i %/% 3) %% 2, weight = 1 + i %% 3 / 2, site = i %% 30,
  region = c("a", "b")[1 + (i * 7) %% 3 %/% 2]
)
made$status <- factor(made$cause, c("censored", "lapsed", "died", "moved"))

told <- function(fit) {
  list(term = names(coef(fit)), estimate = unname(coef(fit)),
       std_error = unname(sqrt(diag(fit$var))), n_events = fit$nevent)
}
control <- coxph.control(eps = 1e-12, toler.chol = 1e-13, iter.max = 50)

mgus <- function(cause, ties) {
  wide <- finegray(Surv(etime, cause) ~ ., myeloma, etype = cause)
  told(coxph(Surv(fgstart, fgstop, fgstatus) ~ age + sex, wide, weights = fgwt, ties = ties,
             cluster = patient_id, control = control))
}
made_fit <- function(formula, ties = "efron", cluster = made$patient_id,
                     weights = rep(1, nrow(made))) {
  made$unit <- cluster
  made$size <- weights
  wide <- finegray(formula, made, etype = "lapsed", weights = size)
  told(coxph(Surv(fgstart, fgstop, fgstatus) ~ age + arm, wide, weights = fgwt, ties = ties,
             cluster = unit, control = control))
}
crr_fit <- with(myeloma, crr(etime, as.integer(cause) - 1, cbind(age, sex == "M"), failcode = 1, cencode = 0,
                             gtol = 1e-10, maxiter = 50))
crr_made <- with(made, crr(time, as.integer(status) - 1, cbind(age, arm), failcode = 1, cencode = 0, gtol = 1e-10,
                           maxiter = 50))
crr_told <- function(fit) list(estimate = unname(fit$coef), std_error = sqrt(diag(fit$var)))

# Patient k moves by k parts of 240 of a unit, so that no two share a time.
crr_untied <- function(groups) {
  with(made, crr_told(crr(time * 240 + patient_id, as.integer(status) - 1, cbind(age, arm),
                          cengroup = groups, failcode = 1, cencode = 0, gtol = 1e-12,
                          maxiter = 50)))
}

incidence <- function() {
  wide <- finegray(Surv(etime, cause) ~ ., myeloma, etype = "pcm")
  fit <- coxph(Surv(fgstart, fgstop, fgstatus) ~ age + sex, wide, weights = fgwt, ties = "breslow",
               control = control)
  at <- data.frame(age = c(60, 80), sex = c("F", "M"))
  curve <- summary(survfit(fit, newdata = at, se.fit = FALSE), times = c(60, 120, 240))
  list(age = at$age, sex = at$sex, time = curve$time, estimate = t(1 - curve$surv))
}

specific <- lapply(c(pcm = "pcm", death = "death"), function(which) {
  told(coxph(as.formula(sprintf("Surv(etime, cause == '%s') ~ age + sex", which)), myeloma,
             control = control))
})

cat(jsonlite::toJSON(
  list(
    made = made[, setdiff(names(made), "status")],
    mgus2 = list(
      efron = mgus("pcm", "efron"), breslow = mgus("pcm", "breslow"),
      death = mgus("death", "efron"), crr = crr_told(crr_fit), incidence = incidence()
    ),
    ties = list(
      efron = made_fit(Surv(time, status) ~ .), breslow = made_fit(Surv(time, status) ~ ., "breslow"),
      cluster = made_fit(Surv(time, status) ~ ., cluster = made$site),
      weighted = made_fit(Surv(time, status) ~ ., weights = made$weight),
      weighted_breslow = made_fit(Surv(time, status) ~ ., "breslow", weights = made$weight),
      crr = crr_told(crr_made)
    ),
    crr = list(untied = crr_untied(rep(1, nrow(made))), untied_groups = crr_untied(made$region)),
    cause_specific = specific
  ),
  digits = NA, auto_unbox = TRUE, dataframe = "columns"
))
