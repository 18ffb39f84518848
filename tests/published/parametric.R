# Distributions of time by R's survreg; those that survreg lacks by optim on their definition.
#
#   Rscript tests/published/parametric.R > tests/published/parametric.json
#
# Needs R with the packages survival and jsonlite (Debian: r-cran-survival, r-cran-jsonlite).

suppressPackageStartupMessages({
  library(survival)
  library(jsonlite)
  library(splines)
})

regression <- function(name, data, formula, dist, robust = FALSE, ...) {
  fit <- do.call(survreg, list(formula, data = data, dist = dist, robust = robust,
                               control = survreg.control(rel.tolerance = 1e-14, maxiter = 100), ...))
  scale <- if (dist == "exponential") numeric(0) else log(fit$scale)
  # survreg's own robust variance leaves the weights out of the residuals' squares.
  change <- if ("weights" %in% ...names()) residuals(fit, "dfbeta", weighted = TRUE)
  variance <- if (is.null(change)) vcov(fit) else crossprod(change)
  list(name = name, distribution = dist, robust = robust,
       estimate = unname(c(coef(fit), scale)), std_error = unname(sqrt(diag(variance))),
       log_likelihood = fit$loglik[2])
}

dists <- c("exponential", "weibull", "lognormal", "loglogistic")
lung <- transform(lung, event = as.integer(status == 2), wt = 1 + (age %% 3) / 2,
                  group = seq_len(nrow(lung)) %% 40)
tied <- data.frame(i = 1:60)
tied <- transform(tied, time = 1 + (i * 37) %% 5, event = as.integer((i * 7) %% 3 > 0),
                  x = (i * 11) %% 4, n = 1 + i %% 3)
two <- Surv(time, event) ~ age + sex
cases <- list()
add <- function(...) cases[[length(cases) + 1]] <<- regression(...)
for (dist in dists) {
  add("ovarian", ovarian, Surv(futime, fustat) ~ ecog.ps + rx, dist)
  add("lung", lung, two, dist)
  add("lung alone", lung, Surv(time, event) ~ 1, dist)
  add("tied", tied, Surv(time, event) ~ x, dist)
  add("tied repeated", tied[rep(tied$i, tied$n), ], Surv(time, event) ~ x, dist)
  add("all events", tied[tied$event == 1, ], Surv(time, event) ~ x, dist)
  add("lung weighted", lung, two, dist, robust = TRUE, weights = lung$wt)
}
add("lung clustered", lung, update(two, . ~ . + cluster(group)), "weibull", robust = TRUE)

# Curves of the Weibull at two kinds of patients.
fit <- survreg(two, data = lung, dist = "weibull")
times <- c(100, 365, 1000, 2000)
curve <- sapply(c(1, 2), function(sex) {
  location <- sum(coef(fit) * c(1, 60, sex))
  1 - psurvreg(times, location, fit$scale, "weibull")
})

# Climb to the top and take the information there by differences.
highest <- function(start, value) {
  at <- start
  for (method in c("Nelder-Mead", "BFGS", "Nelder-Mead", "BFGS", "BFGS")) {
    at <- optim(at, value, method = method,
                control = list(fnscale = -1, reltol = 1e-16, maxit = 5000))$par
  }
  round(value(at), 8)
}
t <- lung$time
d <- lung$event

# Generalised gamma by the gamma distribution: ((t / e^mu)^(Q / sigma)) / Q^2 is gamma(1 / Q^2).
general <- function(par, clock, event) {
  q <- par[3]; s <- exp(par[2]); k <- q^-2
  u <- k * exp(q * (log(clock) - par[1]) / s)
  jacobian <- log(abs(q) * u / (s * clock))
  lower <- q < 0
  sum(ifelse(event == 1, dgamma(u, k, log = TRUE) + jacobian,
             pgamma(u, k, lower.tail = lower, log.p = TRUE)))
}
gg <- c(lung = highest(c(6, -0.3, 0.9), function(par) general(par, t, d)),
        tied = highest(c(1, -0.3, 0.9), function(par) general(par, tied$time, tied$event)))

# Left truncation: a Weibull given that the patient was there at entry.
entry <- (seq_along(t) * 13) %% pmin(t, 200)
delayed <- highest(c(6, -0.3), function(par) {
  shape <- exp(-par[2]); scale <- exp(par[1])
  sum(ifelse(d == 1, dweibull(t, shape, scale, log = TRUE),
             pweibull(t, shape, scale, lower.tail = FALSE, log.p = TRUE)) -
        pweibull(entry, shape, scale, lower.tail = FALSE, log.p = TRUE))
})

# Royston and Parmar's spline in the basis of splines::ns, which spans the same curves.
y <- log(t)
events <- y[d == 1]
inner <- quantile(events, c(1, 2) / 3, names = FALSE)
ends <- range(events)
basis <- function(x) cbind(1, ns(x, knots = inner, Boundary.knots = ends))
B <- basis(y)
D <- (basis(y + 1e-5) - basis(y - 1e-5)) / 2e-5
spline <- function(par) {
  height <- drop(B %*% par); climb <- drop(D %*% par)
  if (any(climb[d == 1] <= 0)) return(-1e10)
  sum((log(climb) + height - y)[d == 1]) - sum(exp(height))
}
w <- survreg(Surv(t, d) ~ 1)
line <- (y - coef(w)) / w$scale
start <- unname(coef(lm(line ~ B - 1)))
at <- start
for (k in 1:6) {
  at <- optim(at, spline, method = if (k %% 2) "BFGS" else "Nelder-Mead",
              control = list(fnscale = -1, reltol = 1e-16, maxit = 20000))$par
}
height <- drop(basis(log(times)) %*% at)

# Mixture cure: made-up patients, of whom some never leave.
i <- 1:200
made <- data.frame(time = ifelse(i %% 5 < 2, 300 + (i * 17) %% 100, 1 + (i * i * 7) %% 97),
                   event = as.integer(i %% 5 >= 2 & i %% 11 > 0))
mixture <- function(par) {
  p <- plogis(par[1]); shape <- exp(-par[3]); scale <- exp(par[2])
  with(made, sum(ifelse(
    event == 1, log(1 - p) + dweibull(time, shape, scale, log = TRUE),
    log(p + (1 - p) * pweibull(time, shape, scale, lower.tail = FALSE)))))
}
cure <- c(-0.5, 4, -0.3)
for (k in 1:6) {
  cure <- optim(cure, mixture, method = if (k %% 2) "Nelder-Mead" else "BFGS",
                control = list(fnscale = -1, reltol = 1e-16, maxit = 5000))$par
}
information <- -optimHess(cure, mixture, control = list(ndeps = rep(1e-4, 3)))

cat(toJSON(list(
  source = "R's survival::survreg, and optim on the definitions",
  command = "Rscript tests/published/parametric.R > tests/published/parametric.json",
  versions = list(R = paste(R.version$major, R.version$minor, sep = "."),
                  survival = as.character(packageVersion("survival"))),
  cases = cases, tied = tied[c("time", "event", "x", "n")],
  times = times, weibull_curve = unname(split(curve, col(curve))),
  generalised_gamma = as.list(gg), entry = entry, delayed = delayed,
  spline = list(knots = exp(inner), log_likelihood = round(spline(at), 7),
                share = round(exp(-exp(height)), 5)),
  cure = list(data = made, log_likelihood = round(mixture(cure), 7), share = round(plogis(cure[1]), 5),
              std_error = round(sqrt(diag(solve(information))), 4))
), digits = NA, auto_unbox = TRUE, pretty = FALSE, dataframe = "columns"), "\n", sep = "")
