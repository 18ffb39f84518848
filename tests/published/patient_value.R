# Mean fees by a day under censoring, by inverse weighting with R's survfit of the censoring
# (Bang and Tsiatis 2000, one interval a day), the numbers tests/retention compares with.
#
#   Rscript tests/published/patient_value.R > tests/published/patient_value.json
#
# Needs R with the packages survival and jsonlite (Debian: r-cran-survival, r-cran-jsonlite).

library(survival)

n <- 120
i <- seq_len(n)
data <- data.frame(
  patient_id = i,
  # Heavy ties; a patient whose follow-up ends on day 0, as an event and as censored.
  time = ifelse(i %in% c(7, 8), 0, ((i * 37) %% 101) %/% 4 * 4),
  event = as.integer((i * 13) %% 5 < 2)
)
fees <- do.call(rbind, lapply(i, function(k) {
  day <- unique(c(0, (k * seq_len(6) * 11) %% 97))
  day <- day[day <= data$time[k]]
  data.frame(patient_id = k, day = day, amount = 10 + (k * 7 + day * 3) %% 23)
}))

# Events leave before those censored on the same day: the censored are moved half a day later.
value <- function(weight, at) {
  later <- data$time + ifelse(data$event == 1, 0, 0.5)
  fit <- survfit(Surv(later, 1 - data$event) ~ 1, weights = weight, timefix = FALSE)
  before <- stepfun(fit$time, c(1, fit$surv), right = TRUE)
  used <- fees[fees$day <= at, ]
  paid <- tapply(used$amount / before(used$day), factor(used$patient_id, i), sum, default = 0)
  sum(weight * paid) / sum(weight)
}

# The influence of each patient, by a difference quotient in the patient's weight.
std_error <- function(at, step = 1e-4) {
  influence <- sapply(i, function(k) {
    up <- replace(rep(1, n), k, 1 + step)
    down <- replace(rep(1, n), k, 1 - step)
    (value(up, at) - value(down, at)) / (2 * step)
  })
  sqrt(sum(influence^2))
}

times <- c(0, 10, 40, 73, 96)
cat(jsonlite::toJSON(
  list(
    data = data, fees = fees, times = times,
    estimate = sapply(times, function(at) value(rep(1, n), at)),
    std_error = sapply(times, std_error)
  ),
  digits = NA, auto_unbox = TRUE, dataframe = "columns"
))
