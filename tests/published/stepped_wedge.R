# Mixed models of stepped wedges by lme4 and nlme, with Kenward and Roger's covariance and degrees of
# freedom by pbkrtest: the numbers tests/effects/test_stepped_wedge.py compares with.
#
#   Rscript tests/published/stepped_wedge.R > tests/published/stepped_wedge.json
#
# Needs R with the packages lme4, pbkrtest, nlme and jsonlite (Debian: r-cran-lme4, r-cran-pbkrtest,
# r-cran-nlme, r-cran-jsonlite). Data are made by whole numbers and printed, so that both sides have
# the same.

suppressMessages({ library(lme4); library(nlme); library(pbkrtest) })

# Twelve clinics over five periods; a clinic's size in a period varies, one clinic misses a period.
made <- function(balanced) {
  rows <- list()
  for (i in 0:11) for (j in 0:4) {
    if (!balanced && i == 7 && j == 2) next
    size <- if (balanced) 6 else 3 + (5 * i + 7 * j) %% 6
    k <- seq_len(size)
    start <- 1 + i %/% 3
    exposure <- max(0, j - start + 1)
    level <- ((37 * i) %% 23 - 11) / 20
    own <- ((53 * i + 29 * j) %% 19 - 9) / 12
    noise <- ((271 * i + 97 * j + 131 * k + i * j * k) %% 101 - 50) / 40
    age <- 40 + (17 * i + 31 * j + 43 * k) %% 37
    rows[[length(rows) + 1]] <- data.frame(
      clinic = i, period = j, treated = as.integer(exposure > 0), exposure = exposure, age = age,
      y = round(2 + .1 * j + .4 * (exposure > 0) + .1 * exposure + level + own + noise + age / 100, 6)
    )
  }
  do.call(rbind, rows)
}
told <- function(fit, contrast) {
  v <- vcovAdj(fit)
  adjusted <- as.matrix(v)
  plain <- as.matrix(vcov(fit))
  components <- as.data.frame(VarCorr(fit))
  list(
    variances = setNames(as.list(components$vcov), components$grp),
    deviance = REMLcrit(fit),
    estimate = sum(contrast * fixef(fit)),
    model_error = sqrt(drop(t(contrast) %*% plain %*% contrast)),
    std_error = sqrt(drop(t(contrast) %*% adjusted %*% contrast)),
    df = Lb_ddf(contrast, plain, v)
  )
}
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5),
                     check.conv.singular = "ignore")
by_exposure <- function(data, more = NULL) {
  names <- c("0 + factor(period)", paste0("I(exposure == ", 1:4, ")"), more, "(1 | clinic)",
             "(1 | clinic:period)")
  fit <- lmer(reformulate(names, "y"), data, control = tight)
  counts <- table(factor(data$exposure[!duplicated(data[c("clinic", "period")])], 1:4))
  told(fit, c(rep(0, 5), counts / sum(counts), rep(0, length(more))))
}
constant <- function(data) {
  fit <- lmer(y ~ 0 + factor(period) + treated + (1 | clinic) + (1 | clinic:period), data,
              control = tight)
  told(fit, c(rep(0, 5), 1))
}
balanced <- made(TRUE)
uneven <- made(FALSE)
cells <- aggregate(cbind(y, treated, exposure) ~ clinic + period, balanced, mean)
exchangeable <- lmer(y ~ 0 + factor(period) + treated + (1 | clinic), cells, control = tight)

# nlme fits the same model by another road.
by_nlme <- lme(y ~ 0 + factor(period) + treated, uneven, ~ 1 | clinic / period, method = "REML",
               control = lmeControl(msTol = 1e-12, tolerance = 1e-10, msMaxIter = 500))

cat(jsonlite::toJSON(
  list(
    source = "R's lme4::lmer (REML), pbkrtest::vcovAdj and Lb_ddf, nlme::lme",
    uneven_exposure = by_exposure(uneven), uneven_constant = constant(uneven),
    uneven_age = by_exposure(uneven, "age"), balanced_exposure = by_exposure(balanced),
    cell_means = told(exchangeable, c(rep(0, 5), 1)),
    nlme_constant = list(
      estimate = unname(fixef(by_nlme)["treated"]),
      std_error = sqrt(diag(vcov(by_nlme)))[["treated"]],
      deviance = -2 * as.numeric(logLik(by_nlme))
    ),
    data = list(uneven = uneven, balanced = balanced),
    versions = list(
      R = as.character(getRversion()), lme4 = as.character(packageVersion("lme4")),
      pbkrtest = as.character(packageVersion("pbkrtest"))
    )
  ),
  digits = NA, auto_unbox = TRUE, dataframe = "columns"
), "\n")
