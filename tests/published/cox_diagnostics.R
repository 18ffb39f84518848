# What follows a Cox model: tests of proportional hazards, residuals and predicted curves.
#
#   Rscript tests/published/cox_diagnostics.R > tests/published/cox_diagnostics.json
#
# Needs R with the packages survival and jsonlite (Debian: r-base-core, r-cran-survival,
# r-cran-jsonlite). Made-up data are made by whole numbers and printed, so that both sides have the
# same. R's cox.zph is that of survival 3.0 and later.

suppressMessages(library(survival))

control <- coxph.control(eps = 1e-13, toler.chol = 1e-14, iter.max = 60)

# The call is made at the top, where survfit and cox.zph find the data again.
fitted_by <- function(...) {
  given <- as.list(substitute(list(...)))[-1]
  call <- as.call(c(quote(coxph), given, list(control = quote(control))))
  eval(call, globalenv())
}

zph <- function(..., transforms = c("km", "rank", "identity", "log")) {
  fit <- fitted_by(...)
  one <- function(transform) {
    found <- cox.zph(fit, transform = transform)$table
    list(check = rownames(found), statistic = unname(found[, "chisq"]),
         df = unname(found[, "df"]), p_value = unname(found[, "p"]))
  }
  sapply(transforms, one, simplify = FALSE)
}

# Before survival 3.0: the slope of the scaled residuals over time, the variance an average one.
zph_1994 <- function(..., transforms = c("km", "rank", "identity", "log")) {
  fit <- fitted_by(...)
  residual <- as.matrix(residuals(fit, type = "schoenfeld"))
  variance <- fit$var
  one <- function(transform) {
    g <- cox.zph(fit, transform = transform)$x
    g <- g - mean(g)
    # Scaled residuals: times the number of events and the variance.
    slope <- c(g %*% residual) %*% variance * nrow(residual)
    average <- variance * nrow(residual) * sum(g^2)
    single <- slope^2 / diag(average)
    all <- slope %*% solve(average) %*% t(slope)
    c(c(single), c(all))
  }
  sapply(transforms, one, simplify = FALSE)
}

scaled <- function(..., transform) {
  found <- cox.zph(fitted_by(...), transform = transform, terms = FALSE)
  list(time = found$time, transformed_time = found$x,
       estimate = unname(as.list(as.data.frame(unname(found$y)))))
}

residue <- function(...) {
  fit <- fitted_by(...)
  of <- function(type) {
    found <- residuals(fit, type = type)
    if (is.matrix(found)) unname(as.list(as.data.frame(unname(found)))) else unname(found)
  }
  sapply(c("martingale", "deviance", "score", "schoenfeld"), of, simplify = FALSE)
}

curves <- function(..., new, times) {
  fit <- fitted_by(...)
  one <- function(row) {
    told <- summary(survfit(fit, newdata = new[row, , drop = FALSE]), times = times, extend = TRUE)
    list(estimate = c(told$surv), std_error = c(told$std.err),
         conf_low = c(told$lower), conf_high = c(told$upper))
  }
  lapply(seq_len(nrow(new)), one)
}

# --- patients ------------------------------------------------------------------------------------

known <- lung[!is.na(lung$ph.ecog), ]
known$w <- 1 + (known$age %% 3) / 2
cancer <- Surv(time, status == 2) ~ age + sex + ph.ecog
bile <- Surv(time, status == 2) ~ age + edema + log(bili) + log(protime) + log(albumin)
beating <- heart
beating$transplant <- as.integer(heart$transplant) - 1
beating$w <- 1 + (heart$id %% 3) / 2
hearts <- Surv(start, stop, event) ~ age + year + surgery + transplant
myeloma <- mgus2[!is.na(mgus2$hgb) & mgus2$futime > 0, ]
died <- colon[colon$etype == 2, ]

tests <- list(
  lung = zph(cancer, known),
  lung_breslow = zph(cancer, known, ties = "breslow"),
  lung_weighted = zph(cancer, known, weights = w, robust = TRUE),
  pbc = zph(bile, pbc),
  veteran = zph(Surv(time, status) ~ trt + prior + karno, veteran),
  veteran_strata = zph(Surv(time, status) ~ trt + karno + strata(celltype), veteran),
  veteran_levels = zph(Surv(time, status) ~ celltype + karno, veteran),
  colon = zph(Surv(time, status) ~ rx + age, died),
  heart = zph(hearts, beating),
  heart_weighted = zph(hearts, beating, weights = w, cluster = id),
  mgus2 = zph(Surv(age * 12, age * 12 + futime, death) ~ sex + hgb, myeloma)
)

# --- made up -------------------------------------------------------------------------------------

# Heavy ties, later entries that equal others' event times.
i <- 0:59
made <- data.frame(
  time = 1 + (i * i * 7 + i) %% 11, event = as.integer((i * 11 + i %/% 7) %% 3 > 0),
  x = (i * 5 + i %/% 4) %% 9, z = (i * i * 3 + i %/% 5) %% 7,
  weight = 1 + (i %% 4) / 2, site = (i * 5 + i %/% 9) %% 3, freq = 1 + i %% 3, row = i
)
made$entry <- pmin(i %% 4, made$time - 1)
repeated <- made[rep(seq_along(i), made$freq), ]

end <- Surv(time, event) ~ x + z
later <- Surv(entry, time, event) ~ x + z
new <- data.frame(x = c(0, 2, 8), z = c(0, 6, 3))
new_site <- data.frame(x = c(0, 2, 8), z = c(0, 6, 3), site = c(2, 0, 1))

made_tests <- list(
  efron = zph(end, made),
  breslow = zph(end, made, ties = "breslow"),
  strata = zph(update(end, . ~ . + strata(site)), made),
  weight = zph(end, made, weights = weight, robust = TRUE),
  entry = zph(later, made),
  entry_breslow = zph(later, made, ties = "breslow"),
  everything = zph(update(later, . ~ . + strata(site)), made, weights = weight, cluster = row),
  freq = zph(end, repeated)
)
made_1994 <- list(
  efron = zph_1994(end, made),
  breslow = zph_1994(end, made, ties = "breslow"),
  strata = zph_1994(update(end, . ~ . + strata(site)), made),
  entry_breslow = zph_1994(later, made, ties = "breslow"),
  freq = zph_1994(end, repeated)
)
patients_1994 <- list(
  lung = zph_1994(cancer, known),
  veteran = zph_1994(Surv(time, status) ~ trt + prior + karno, veteran)
)
over_time <- list(
  efron = scaled(end, made, transform = "km"),
  strata = scaled(update(end, . ~ . + strata(site)), made, transform = "rank"),
  weight = scaled(end, made, weights = weight, robust = TRUE, transform = "log")
)
residues <- list(
  efron = residue(end, made),
  breslow = residue(end, made, ties = "breslow"),
  strata = residue(update(end, . ~ . + strata(site)), made),
  weight = residue(end, made, weights = weight, robust = TRUE),
  weight_breslow = residue(end, made, weights = weight, robust = TRUE, ties = "breslow"),
  entry = residue(later, made),
  entry_breslow = residue(later, made, ties = "breslow"),
  everything = residue(update(later, . ~ . + strata(site)), made, weights = weight, cluster = row)
)
days <- c(0, 1, 3, 6, 9, 10)
early <- c(0, 1, 3, 6, 9)
made_curves <- list(
  efron = curves(end, made, new = new, times = days),
  breslow = curves(end, made, ties = "breslow", new = new, times = days),
  strata = curves(update(end, . ~ . + strata(site)), made, new = new_site, times = early),
  entry = curves(later, made, new = new, times = days),
  weight = curves(end, made, weights = weight, robust = TRUE, new = new, times = days),
  freq = curves(end, repeated, new = new, times = days)
)

# --- a whole cohort ------------------------------------------------------------------------------

# Everyone's curve with the level set, averaged.
set_to <- function(fit, data, column, levels, times) {
  average <- function(level) {
    data[[column]] <- level
    all <- summary(survfit(fit, newdata = data, se.fit = FALSE), times = times)
    rowMeans(all$surv)
  }
  sapply(as.character(levels), function(level) average(type.convert(level, as.is = TRUE)),
         simplify = FALSE)
}
lungs <- fitted_by(cancer, known)
cells <- fitted_by(Surv(time, status) ~ trt + karno + celltype, veteran)

patients <- data.frame(age = c(60, 45, 82), sex = c(1, 2, 1), ph.ecog = c(1, 0, 3))
months <- c(0, 5, 180, 365, 1022)
bare <- basehaz(lungs, centered = FALSE)

cat(jsonlite::toJSON(
  list(
    tests = tests, data = made, made_tests = made_tests, residuals = residues,
    patients_1994 = patients_1994, made_1994 = made_1994, over_time = over_time,
    new = new_site, days = days, early = early, made_curves = made_curves,
    patients = patients, months = months,
    curves = list(
      lung = curves(cancer, known, new = patients, times = months),
      lung_breslow = curves(cancer, known, ties = "breslow", new = patients, times = months)
    ),
    basehaz = list(time = bare$time, hazard = bare$hazard),
    adjusted = list(
      lung = set_to(lungs, known, "sex", 1:2, months),
      veteran = set_to(cells, veteran, "celltype", levels(veteran$celltype), c(30, 100, 365))
    )
  ),
  digits = NA, auto_unbox = TRUE, dataframe = "columns", na = "null", null = "null"
))
