# Gray's test by R's cmprsk::cuminc, the numbers tests/retention/test_gray.py compares with.
#
#   Rscript tests/published/gray.R > tests/published/gray.json
#
# Needs R with the packages cmprsk, survival and jsonlite (Debian: r-cran-cmprsk, r-cran-survival,
# r-cran-jsonlite). Made-up data are made by whole numbers and printed, so that both sides have the
# same.

library(survival)
library(cmprsk)

tests <- function(fit) {
  list(statistic = unname(fit$Tests[, "stat"]), df = unname(fit$Tests[, "df"]),
       p_value = unname(fit$Tests[, "pv"]), cause = rownames(fit$Tests))
}
gray <- function(time, code, group, strata = NULL, rho = 0) {
  if (is.null(strata)) tests(cuminc(time, code, group, rho = rho))
  else tests(cuminc(time, code, group, strata, rho = rho))
}

d <- mgus2
d$etime <- with(d, ifelse(pstat == 0, futime, ptime))
d$code <- with(d, ifelse(pstat == 0, 2 * death, 1))
d$decade <- pmin(pmax(d$age %/% 10, 5), 8)

i <- 0:299
made <- list(
  time = (i * 37) %% 23, code = ((i * i + 3 * i + i %/% 7) %% 11) %% 4, group = (i * 7) %% 3,
  layer = (i %/% 5) %% 2
)
# Group 2 never has cause 1; group 1 is gone early.
odd <- list(
  time = ifelse(made$group == 1, made$time %/% 4, made$time),
  code = ifelse(made$group == 2 & made$code == 1, 0, made$code), group = made$group
)

cat(jsonlite::toJSON(list(
  mgus2_sex = gray(d$etime, d$code, d$sex),
  mgus2_sex_rho = gray(d$etime, d$code, d$sex, rho = 1),
  mgus2_decade = gray(d$etime, d$code, d$decade),
  mgus2_sex_decade = gray(d$etime, d$code, d$sex, d$decade),
  mgus2_years = gray(d$etime %/% 12, d$code, d$decade),
  made = made,
  made_test = gray(made$time, made$code, made$group),
  made_rho = gray(made$time, made$code, made$group, rho = 2),
  made_strata = gray(made$time, made$code, made$group, made$layer),
  odd = odd,
  odd_test = gray(odd$time, odd$code, odd$group)
), digits = NA, auto_unbox = TRUE, na = "null", null = "null"))
