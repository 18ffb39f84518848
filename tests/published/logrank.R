# Log-rank tests by R's survdiff, the numbers tests/retention/test_group_tests.py compares with.
#
#   Rscript tests/published/logrank.R > tests/published/logrank.json
#
# Needs R with the packages survival and jsonlite (Debian: r-cran-survival, r-cran-jsonlite).
# Made-up data are made by whole numbers and printed, so that both sides have the same.

library(survival)

test <- function(fit) {
  list(statistic = unname(fit$chisq), df = sum(rowSums(as.matrix(fit$exp)) > 0) - 1,
       observed = unname(rowSums(as.matrix(fit$obs))),
       expected = unname(rowSums(as.matrix(fit$exp))))
}
lung$event <- lung$status - 1
deaths <- subset(colon, etype == 2)
known <- subset(lung, !is.na(inst))
i <- 0:299
made <- data.frame(time = (i * 37) %% 23, event = as.integer((i * i + 3 * i) %% 11 < 6),
                   group = (i * 7) %% 3, layer = (i %/% 5) %% 4)
made$event[made$group == 2 & made$time < 20] <- 0  # hardly any event in group 2
late <- transform(made, entry = pmin(i %% 9, time - 1))
late <- late[late$time > 0, ]
# With delayed entry: the score test of Cox with exact ties is the log-rank test.
score <- coxph(Surv(entry, time, event) ~ factor(group), late, ties = "breslow", iter.max = 0)

cat(jsonlite::toJSON(list(
  lung_sex = test(survdiff(Surv(time, event) ~ sex, lung)),
  lung_sex_rho = test(survdiff(Surv(time, event) ~ sex, lung, rho = 1)),
  lung_sex_rho_half = test(survdiff(Surv(time, event) ~ sex, lung, rho = 0.5)),
  lung_sex_inst = test(survdiff(Surv(time, event) ~ sex + strata(inst), known)),
  lung_sex_inst_rho = test(survdiff(Surv(time, event) ~ sex + strata(inst), known, rho = 1)),
  lung_ecog = test(survdiff(Surv(time, event) ~ ph.ecog, lung)),
  colon_rx = test(survdiff(Surv(time, status) ~ rx, deaths)),
  made = as.list(made),
  made_test = test(survdiff(Surv(time, event) ~ group, made)),
  made_rho = test(survdiff(Surv(time, event) ~ group, made, rho = 2)),
  made_strata = test(survdiff(Surv(time, event) ~ group + strata(layer), made)),
  late = as.list(late),
  late_excess = unname(colSums(residuals(score, "score")))
), digits = NA, auto_unbox = TRUE, na = "null", null = "null"))
