# Immortal time in the Stanford heart transplant data, by R's coxph and survSplit.
#
#   Rscript tests/published/landmark.R > tests/published/landmark.json
#
# Needs R with the packages survival and jsonlite (Debian: r-cran-survival, r-cran-jsonlite).

suppressPackageStartupMessages({
  library(survival)
  library(jsonlite)
})

fitted <- function(formula, data) {
  fit <- coxph(formula, data = data, control = coxph.control(eps = 1e-12, toler.chol = 1e-14, iter.max = 50))
  list(estimate = unname(coef(fit)), std_error = unname(sqrt(diag(vcov(fit)))), n = fit$n,
       n_events = fit$nevent)
}

# As survival's own table `heart`: days count from 1, and a transplant on the day of death comes
# half a day before it. Half days make that whole numbers; day 30 after acceptance ends at 62.
days <- with(jasa, as.numeric(fu.date - accept.dt)) + 1
until <- with(jasa, as.numeric(tx.date - accept.dt)) + 1
patients <- data.frame(time = 2 * days, event = jasa$fustat,
                       at = ifelse(until == days, 2 * until - 1, 2 * until))
patients$ever <- as.integer(!is.na(patients$at))
cuts <- c(60, 200, 730)
split <- survSplit(Surv(time, event) ~ ., data = patients, cut = cuts, episode = "piece")
landmark <- 62
kept <- patients[patients$time > landmark, ]
kept <- transform(kept, time = time - landmark, exposed = as.integer(!is.na(at) & at <= landmark))
base <- transform(patients, id = seq_along(time), end = time, died = event, change = at)
base <- base[c("id", "end", "died", "change")]
pieces <- tmerge(base[c("id", "end")], base, id = id, leaves = event(end, died), exposed = tdc(change))
counts <- list(c(0, 100), c(3, 250), c(17, 1234))
rates <- t(sapply(counts, function(x) poisson.test(x[1], x[2])$conf.int))

cat(toJSON(list(
  source = "R's survival::coxph, survSplit, tmerge; stats::poisson.test",
  command = "Rscript tests/published/landmark.R > tests/published/landmark.json",
  versions = list(R = paste(R.version$major, R.version$minor, sep = "."),
                  survival = as.character(packageVersion("survival"))),
  patients = patients,
  naive = fitted(Surv(time, event) ~ ever, patients),
  landmark = fitted(Surv(time, event) ~ exposed, kept),
  varying = fitted(Surv(tstart, tstop, leaves) ~ exposed, pieces),
  published_varying = fitted(Surv(start, stop, event) ~ transplant, heart),
  split = list(cuts = cuts, entry = split$tstart, time = split$time, event = split$event,
               piece = split$piece - 1),
  pieces = pieces[c("tstart", "tstop", "leaves", "exposed")],
  poisson = list(events = c(0, 3, 17), person_time = c(100, 250, 1234), interval = rates)
), digits = NA, auto_unbox = TRUE, na = "null", dataframe = "columns"), "\n", sep = "")
