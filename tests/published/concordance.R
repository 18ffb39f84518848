# Concordance by R's survival, the numbers tests/retention compares with.
#
#   Rscript tests/published/concordance.R > tests/published/concordance.json
#
# Needs R with the packages survival and jsonlite (Debian: r-cran-survival, r-cran-jsonlite).

library(survival)

pairs_of <- function(y, data, ...) {
  fit <- concordancefit(y, data$risk, ..., reverse = TRUE, keepstrata = FALSE)
  list(
    pairs = unname(c(fit$count)), estimate = unname(fit$concordance),
    std_error = sqrt(unname(c(fit$var)))
  )
}

known <- lung[!is.na(lung$ph.ecog), ]
cox <- coxph(Surv(time, status) ~ age + sex + ph.ecog, known)
known$risk <- unname(predict(cox))
bile <- pbc[1:312, ]
bile$risk <- log(bile$bili)

# Heavy ties in time and risk, events on day 0, later entry, weights; whole numbers throughout.
i <- 0:79
made <- data.frame(
  time = (i * i * 7 + i) %% 13, event = as.integer((i * 11 + i %/% 7) %% 3 > 0),
  risk = (i * i * 5 + i %/% 4) %% 9, weight = 1 + (i %% 4) / 2, site = (i * 5 + i %/% 9) %% 3,
  family = i %% 10, freq = 1 + i %% 3
)
made$entry <- pmin(i %% 4, pmax(made$time - 1, 0))
after <- made[made$time > 0, ]
repeated <- made[rep(seq_along(i), made$freq), ]

end <- with(made, Surv(time, event))
later <- with(after, Surv(entry, time, event))
death <- with(known, Surv(time, status == 2))
bile_death <- with(bile, Surv(time, status == 2))

result <- list(
  lung = list(
    time = known$time, event = known$status - 1, risk = known$risk,
    harrell = pairs_of(death, known), uno = pairs_of(death, known, timewt = "n/G2"),
    year = pairs_of(death, known, ymax = 365)
  ),
  pbc = list(
    time = bile$time, event = as.integer(bile$status == 2), risk = bile$risk, stage = bile$stage,
    plain = pairs_of(bile_death, bile), strata = pairs_of(bile_death, bile, strata = bile$stage)
  ),
  made = c(as.list(made), list(
    plain = pairs_of(end, made),
    weighted = pairs_of(end, made, weights = made$weight),
    strata = pairs_of(end, made, strata = made$site, weights = made$weight),
    uno = pairs_of(end, made, weights = made$weight, timewt = "n/G2"),
    uno_strata = pairs_of(end, made, strata = made$site, timewt = "n/G2"),
    uno_early = pairs_of(end, made, timewt = "n/G2", ymax = 6),
    cluster = pairs_of(end, made, cluster = made$family),
    repeated = pairs_of(with(repeated, Surv(time, event)), repeated),
    all_events = pairs_of(Surv(made$time), made)
  )),
  after = c(as.list(after), list(
    delayed = pairs_of(later, after),
    weighted = pairs_of(later, after, weights = after$weight),
    strata = pairs_of(later, after, strata = after$site, weights = after$weight),
    early = pairs_of(later, after, ymax = 7)
  ))
)
cat(jsonlite::toJSON(result, digits = NA, auto_unbox = TRUE, na = "null", null = "null"))
