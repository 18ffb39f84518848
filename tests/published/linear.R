# Least squares with HC2 errors and errors by cluster, by R's lm and sandwich, the numbers that
# tests/effects/test_linear.py compares with.
#
#   Rscript tests/published/linear.R > tests/published/linear.json
#
# Needs R with sandwich and jsonlite (Debian: r-base-core, r-cran-sandwich, r-cran-jsonlite).

suppressMessages(library(sandwich))
library(jsonlite)

# Made up by integer arithmetic: 60 rows in 7 clusters of unequal size.
i <- 0:59
made <- data.frame(
  a = (i * 7) %% 2, x = ((i * 13) %% 11) / 4, w = 0.5 + ((i * 5) %% 7) / 3,
  cluster = (i * (i %/% 7 + 1)) %% 8
)
made$y <- 1 + 0.5 * made$a + 0.3 * made$x + ((i * 29) %% 19) / 5 * (1 + made$a) + made$cluster / 3

entries <- function(v) as.vector(t(v))
fit_of <- function(weights) lm(y ~ a + x, made, weights = weights)
found <- function(fit) {
  list(
    beta = unname(coef(fit)),
    hc2 = entries(vcovHC(fit, type = "HC2")),
    # Bell and McCaffrey's CR2 is what vcovCL calls HC2: it first takes (G - 1) / G, which cadjust
    # gives back.
    cr2 = entries(vcovCL(fit, cluster = made$cluster, type = "HC2", cadjust = TRUE))
  )
}
out <- list(
  source = "R lm, sandwich::vcovHC and vcovCL, type HC2",
  versions = list(R = as.character(getRversion()),
                  sandwich = as.character(packageVersion("sandwich"))),
  data = as.list(made), plain = found(fit_of(NULL))
)
weighted <- fit_of(made$w)
out$weighted <- list(beta = unname(coef(weighted)), hc2 = entries(vcovHC(weighted, type = "HC2")))
cat(toJSON(out, digits = NA, auto_unbox = TRUE, pretty = TRUE), "\n")
