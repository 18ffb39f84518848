# Nearest-neighbour matching with Abadie and Imbens' errors, on MASS::birthwt, by R's Matching.
#
#   Rscript --vanilla tests/published/matching.R > tests/published/matching.json
#
# Needs R with the packages MASS and Matching (Debian: r-cran-mass, r-cran-matching) and jsonlite.

suppressPackageStartupMessages({
  library(MASS)
  library(Matching)
  library(jsonlite)
})

d <- birthwt
numbers <- cbind(d$age, d$lwt)
mixed <- model.matrix(~ age + lwt + factor(race) + ht, d)[, -1]
coarse <- cbind(d$race, d$ht)

one <- function(y, x, estimand, weight, m, bias, j) {
  fit <- Match(Y = y, Tr = d$smoke, X = x, estimand = estimand, Weight = weight, M = m,
               BiasAdjust = bias, Var.calc = j, ties = TRUE, version = "standard",
               distance.tolerance = 1e-9)
  list(estimate = as.numeric(fit$est), std_error = as.numeric(fit$se))
}

result <- list(
  source = "R, MASS::birthwt, Matching::Match: Rscript --vanilla tests/published/matching.R",
  data = as.list(d[c("smoke", "bwt", "low", "age", "lwt", "race", "ht")]),
  numbers_att = one(d$bwt, numbers, "ATT", 1, 1, FALSE, 2),
  numbers_ate = one(d$bwt, numbers, "ATE", 1, 1, FALSE, 2),
  mixed_att = one(d$bwt, mixed, "ATT", 2, 1, FALSE, 2),
  mixed_ate_3 = one(d$bwt, mixed, "ATE", 2, 3, FALSE, 1),
  ties_att = one(d$low, coarse, "ATT", 1, 1, FALSE, 1),
  corrected_att = one(d$bwt, mixed, "ATT", 1, 1, TRUE, 2),
  corrected_ate = one(d$bwt, numbers, "ATE", 1, 2, TRUE, 2)
)
cat(toJSON(result, digits = NA, auto_unbox = TRUE), "\n")
