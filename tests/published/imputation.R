# Rubin's rules by R's mice, with the degrees of freedom of Barnard and Rubin: the numbers that
# tests/effects/test_imputation.py compares with.
#
#   Rscript tests/published/imputation.R > tests/published/imputation.json
#
# Needs R with mice and jsonlite (Debian: r-base-core, r-cran-mice, r-cran-jsonlite).

suppressMessages({ library(mice); library(jsonlite) })
pooled <- function(q, se, n, k) {
  found <- pool.scalar(Q = q, U = se^2, n = n, k = k)
  lapply(list(estimate = found$qbar, std_error = sqrt(found$t), df = found$df,
              relative_increase = found$r, fraction_missing = found$fmi), unclass)
}
five <- c(1.0, 1.5, 0.8, 1.2, 1.1)
errors <- c(0.44, 0.47, 0.43, 0.46, 0.45)
out <- list(
  small = pooled(five, errors, 100, 2),
  large = pooled(five, errors, Inf, 1),
  little = pooled(c(2.00, 2.01, 1.99), c(0.5, 0.5, 0.5), 40, 2),
  versions = list(R = paste(R.version$major, R.version$minor, sep = "."),
                  mice = as.character(packageVersion("mice")))
)
cat(toJSON(out, auto_unbox = TRUE, digits = NA, pretty = TRUE), "\n")
