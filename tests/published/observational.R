# Weights, g-computation and doubly robust effects on the birth weights of package MASS (189 births,
# arm: smoking): each estimator as one stack of estimating equations, their Jacobian taken
# numerically by numDeriv, the sandwich formed from both. Run: Rscript --vanilla observational.R
library(MASS)
library(numDeriv)

d <- birthwt
x <- model.matrix(~ age + lwt + factor(race) + ht, d)
arm <- d$smoke
n <- nrow(d)
k <- ncol(x)

sandwich_of <- function(psi, theta) {
  parts <- psi(theta)
  bread <- jacobian(function(t) colMeans(psi(t)), theta)
  meat <- crossprod(parts) / n
  inverse <- solve(bread)
  inverse %*% meat %*% t(inverse) / n
}

contrast <- function(theta, v) {
  at <- length(theta) + c(-1, 0)
  c <- v[at, at]
  list(
    level_0 = theta[at[1]], level_1 = theta[at[2]],
    difference = theta[at[2]] - theta[at[1]],
    std_error = sqrt(c[1, 1] + c[2, 2] - 2 * c[1, 2]),
    log_ratio_error = sqrt(c[1, 1] / theta[at[1]]^2 + c[2, 2] / theta[at[2]]^2 -
      2 * c[1, 2] / (theta[at[1]] * theta[at[2]]))
  )
}

weights_of <- function(e, estimand) {
  switch(estimand,
    ATE = list(w1 = 1 / e, w0 = 1 / (1 - e), h = rep(1, n)),
    ATT = list(w1 = rep(1, n), w0 = e / (1 - e), h = arm),
    ATO = list(w1 = 1 - e, w0 = e, h = e * (1 - e))
  )
}

ps <- glm(arm ~ x - 1, family = binomial, epsilon = 1e-14)
alpha <- unname(coef(ps))

iptw <- function(y, estimand) {
  solve_levels <- function(a) {
    w <- weights_of(plogis(drop(x %*% a)), estimand)
    c(weighted.mean(y, w$w0 * (1 - arm)), weighted.mean(y, w$w1 * arm))
  }
  psi <- function(t) {
    e <- plogis(drop(x %*% t[1:k]))
    w <- weights_of(e, estimand)
    cbind(x * (arm - e), (1 - arm) * w$w0 * (y - t[k + 1]), arm * w$w1 * (y - t[k + 2]))
  }
  theta <- c(alpha, solve_levels(alpha))
  contrast(theta, sandwich_of(psi, theta))
}

outcome_fit <- function(y, binary, a) {
  family <- if (binary) binomial() else gaussian()
  unname(coef(glm(y ~ x - 1, family = family, subset = arm == a, epsilon = 1e-14, maxit = 100)))
}

aipw <- function(y, estimand, binary, weigh = TRUE) {
  mean_of <- if (binary) plogis else identity
  b0 <- outcome_fit(y, binary, 0)
  b1 <- outcome_fit(y, binary, 1)
  level_parts <- function(a, b, which, mu) {
    e <- plogis(drop(x %*% a))
    w <- weights_of(e, estimand)
    m <- mean_of(drop(x %*% b))
    own <- if (which == 1) arm * w$w1 else (1 - arm) * w$w0
    w$h * (m - mu) + (if (weigh) own * (y - m) else 0)
  }
  psi <- function(t) {
    a <- t[1:k]
    t0 <- t[k + 1:k]
    t1 <- t[2 * k + 1:k]
    cbind(
      x * (arm - plogis(drop(x %*% a))),
      (1 - arm) * x * (y - mean_of(drop(x %*% t0))),
      arm * x * (y - mean_of(drop(x %*% t1))),
      level_parts(a, t0, 0, t[3 * k + 1]), level_parts(a, t1, 1, t[3 * k + 2])
    )
  }
  h <- weights_of(plogis(drop(x %*% alpha)), estimand)$h
  levels <- c(sum(level_parts(alpha, b0, 0, 0)), sum(level_parts(alpha, b1, 1, 0))) / sum(h)
  theta <- c(alpha, b0, b1, levels)
  contrast(theta, sandwich_of(psi, theta))
}

number <- function(v) {
  if (is.list(v)) {
    inner <- mapply(function(name, one) sprintf('"%s": %s', name, number(one)), names(v), v)
    return(paste0("{", paste(inner, collapse = ", "), "}"))
  }
  if (is.character(v)) return(sprintf('"%s"', v))
  if (length(v) == 1) return(format(v, digits = 15))
  paste0("[", paste(format(v, digits = 15, trim = TRUE), collapse = ", "), "]")
}

all_of <- function(make) {
  found <- lapply(c("ATE", "ATT", "ATO"), make)
  names(found) <- c("ATE", "ATT", "ATO")
  found
}

result <- list(
  source = "R, MASS::birthwt, glm and numDeriv::jacobian: Rscript --vanilla observational.R",
  data = as.list(data.frame(
    smoke = d$smoke, bwt = d$bwt, low = d$low, age = d$age, lwt = d$lwt, race = d$race, ht = d$ht
  )),
  propensity = unname(fitted(ps)),
  iptw_number = all_of(function(e) iptw(d$bwt, e)),
  iptw_binary = all_of(function(e) iptw(d$low, e)),
  aipw_number = all_of(function(e) aipw(d$bwt, e, FALSE)),
  aipw_binary = all_of(function(e) aipw(d$low, e, TRUE)),
  g_number = lapply(list(ATE = "ATE", ATT = "ATT"), function(e) aipw(d$bwt, e, FALSE, FALSE)),
  g_binary = lapply(list(ATE = "ATE", ATT = "ATT"), function(e) aipw(d$low, e, TRUE, FALSE))
)
cat(number(result), "\n")
