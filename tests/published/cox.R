# Cox models by R's coxph, the numbers tests/retention compares with.
#
#   Rscript tests/published/cox.R > tests/published/cox.json
#
# Needs R with the packages survival and jsonlite (Debian: r-base-core, r-cran-survival,
# r-cran-jsonlite). Made-up data are made by whole numbers and printed, so that both sides have the
# same. The baseline is that of a patient whose covariates and offset are all 0.

suppressMessages(library(survival))

control <- coxph.control(eps = 1e-13, toler.chol = 1e-14, iter.max = 60)

# The call is made at the top, where survfit finds the data again.
told <- function(..., zero = NULL) {
  call <- as.call(c(quote(coxph), match.call(expand.dots = FALSE)$..., quote(control)))
  names(call)[length(call)] <- "control"
  fit <- eval(call, globalenv())
  result <- list(
    term = names(coef(fit)), estimate = unname(coef(fit)),
    std_error = unname(sqrt(diag(fit$var))),
    naive_error = unname(sqrt(diag(if (is.null(fit$naive.var)) fit$var else fit$naive.var))),
    log_likelihood = fit$loglik, n = fit$n, n_events = fit$nevent,
    tests = c(2 * diff(fit$loglik), unname(fit$wald.test), fit$score)
  )
  if (!is.null(zero)) {
    curve <- survfit(fit, newdata = zero, se.fit = FALSE)
    if (length(curve$strata)) curve <- curve[seq_along(curve$strata)]
    steps <- curve$n.event > 0
    result$baseline <- list(time = curve$time[steps], hazard = c(curve$cumhaz)[steps])
  }
  result
}

# --- patients ------------------------------------------------------------------------------------

known <- lung[!is.na(lung$ph.ecog), ]
sited <- known[!is.na(known$inst), ]
cancer <- Surv(time, status == 2) ~ age + sex + ph.ecog
none <- data.frame(age = 0, sex = 0, ph.ecog = 0)
heavy <- lung
heavy$w <- 1 + (lung$age %% 3) / 2
bile <- Surv(time, status == 2) ~ age + edema + log(bili) + log(protime) + log(albumin)
beating <- heart
beating$transplant <- as.integer(heart$transplant) - 1
beating$w <- 1 + (heart$id %% 3) / 2
hearts <- Surv(start, stop, event) ~ age + year + surgery + transplant
myeloma <- mgus2[!is.na(mgus2$hgb), ]
tumours <- bladder2
# Wei, Lin and Weissfeld: a margin for each recurrence, with coefficients of its own.
margins <- bladder
for (k in 1:4) for (x in c("rx", "number", "size"))
  margins[[paste0(x, k)]] <- margins[[x]] * (margins$enum == k)
colons <- colon[colon$etype == 2, ]

patients <- list(
  lung_efron = told(cancer, known, zero = none),
  lung_breslow = told(cancer, known, ties = "breslow", zero = none),
  lung_exact = told(cancer, known, ties = "exact", zero = none),
  lung_robust = told(cancer, known, robust = TRUE),
  lung_cluster = told(cancer, sited, cluster = inst),
  lung_weighted = told(Surv(time, status == 2) ~ sex + age, heavy, weights = w, robust = TRUE),
  pbc = told(bile, pbc),
  veteran = told(Surv(time, status) ~ trt + prior + karno, veteran),
  veteran_strata = told(Surv(time, status) ~ trt + karno + strata(celltype), veteran),
  colon = told(Surv(time, status) ~ rx, colons),
  heart = told(hearts, beating),
  heart_exact = told(hearts, beating, ties = "exact"),
  heart_weighted = told(hearts, beating, weights = w, cluster = id),
  mgus2 = told(Surv(age * 12, age * 12 + futime, death) ~ sex + hgb,
               myeloma[myeloma$futime > 0, ]),
  bladder2 = told(Surv(start, stop, event) ~ rx + number + size, tumours, cluster = id),
  bladder2_pwp = told(Surv(start, stop, event) ~ rx + number + size + strata(enum), tumours,
                      cluster = id),
  bladder_wlw = told(Surv(stop, event) ~ rx1 + number1 + size1 + rx2 + number2 + size2 +
                       rx3 + number3 + size3 + rx4 + number4 + size4 + strata(enum), margins,
                     cluster = id)
)

# --- made up -------------------------------------------------------------------------------------

# Heavy ties, events at time 0, later entries that equal others' event times.
i <- 0:119
made <- data.frame(
  time = (i * i * 7 + i) %% 13, event = as.integer((i * 11 + i %/% 7) %% 3 > 0),
  x = (i * 5 + i %/% 4) %% 9, z = (i * i * 3 + i %/% 5) %% 7,
  plan = c("gold", "none", "silver")[1 + (i * 7 + i %/% 8) %% 3],
  weight = 1 + (i %% 4) / 2, site = (i * 5 + i %/% 9) %% 3, family = i %% 10,
  freq = 1 + i %% 3, shift = ((i * 3) %% 5) / 10, row = i
)
made$entry <- pmin(i %% 4, pmax(made$time - 1, 0))
after <- made[made$time > 0, ]
few <- after[1:36, ]
repeated <- made[rep(seq_along(i), made$freq), ]
repeated_after <- after[rep(seq_len(nrow(after)), after$freq), ]

# Follow-up cut at 3 and 6, a covariate changing from piece to piece.
cuts <- c(0, 3, 6, 13)
piece <- function(k) {
  part <- after[after$entry < cuts[k + 1] & after$time > cuts[k], ]
  part$event <- ifelse(part$time > cuts[k + 1], 0, part$event)
  part$entry <- pmax(part$entry, cuts[k])
  part$time <- pmin(part$time, cuts[k + 1])
  part$z <- (part$z + 2 * k) %% 7
  part
}
pieces <- do.call(rbind, lapply(1:3, piece))

end <- Surv(time, event) ~ x + z
later <- Surv(entry, time, event) ~ x + z
at_zero <- data.frame(x = 0, z = 0)

fits <- list(
  efron = told(end, made, zero = at_zero),
  breslow = told(end, made, ties = "breslow", zero = at_zero),
  exact = told(end, made, ties = "exact", zero = at_zero),
  text = told(Surv(time, event) ~ x + plan, made),
  strata = told(update(end, . ~ . + strata(site)), made),
  offset = told(update(end, . ~ . + offset(shift)), made),
  weight = told(end, made, weights = weight, robust = TRUE, zero = at_zero),
  weight_breslow = told(end, made, weights = weight, robust = TRUE, ties = "breslow",
                        zero = at_zero),
  cluster = told(end, made, cluster = family),
  weight_cluster = told(end, made, weights = weight, cluster = family),
  everything = told(update(end, . ~ . + strata(site) + offset(shift)), made, weights = weight,
                    cluster = family),
  freq = told(end, repeated, zero = at_zero),
  freq_breslow = told(end, repeated, ties = "breslow"),
  freq_exact = told(end, repeated, ties = "exact"),
  freq_cluster = told(end, repeated, cluster = family),
  freq_weight = told(end, repeated, weights = weight, robust = TRUE)
)
fits_after <- list(
  efron = told(later, after, zero = at_zero),
  breslow = told(later, after, ties = "breslow", zero = at_zero),
  strata = told(update(later, . ~ . + strata(site)), after),
  offset = told(update(later, . ~ . + offset(shift)), after),
  weight = told(later, after, weights = weight, cluster = row, zero = at_zero),
  weight_breslow = told(later, after, weights = weight, cluster = row, ties = "breslow"),
  everything = told(update(later, . ~ . + strata(site) + offset(shift)), after, weights = weight,
                    cluster = family),
  freq = told(later, repeated_after),
  freq_cluster = told(later, repeated_after, cluster = family)
)
fits_few <- list(
  exact = told(later, few, ties = "exact"),
  exact_strata = told(update(later, . ~ . + strata(site)), few, ties = "exact")
)
fits_pieces <- list(
  efron = told(later, pieces),
  breslow = told(later, pieces, ties = "breslow"),
  cluster = told(later, pieces, cluster = family),
  everything = told(update(later, . ~ . + strata(site)), pieces, weights = weight,
                    cluster = family)
)

cat(jsonlite::toJSON(
  list(
    patients = patients,
    data = list(made = made, after = after, few = few, pieces = pieces),
    made = fits, after = fits_after, few = fits_few, pieces = fits_pieces
  ),
  digits = NA, auto_unbox = TRUE, dataframe = "columns", na = "null", null = "null"
))
