"""What TARGET 2025 asks of a report of an observational study that emulates a target trial.

Items are paraphrased from Cashin, Hansford, Hernan et al., JAMA 2025;334:1084 and BMJ
2025;390:e087179: 21 items, of which 6 specifies the trial and 7 says how the records emulate it.
Their numbers and order follow a summary whose authors compared all 39 sub-items with the published
tables (PubMed Central PMC13084563); the tables themselves were not at hand here.
"""

from __future__ import annotations

from loyalty_research.effects.reporting_guideline import Guideline, Item

TARGET = Guideline(
    "TARGET",
    "TARGET 2025",
    "Cashin et al., JAMA 2025;334:1084",
    (
        Item("1a", "Abstract", "that records emulate a target trial, its aim and its outline"),
        Item("1b", "Abstract", "the sources of data"),
        Item("1c", "Abstract", "main assumptions, methods, findings, conclusions"),
        Item("2", "Background", "what is known and what is not"),
        Item("3", "Causal question", "the question that the protocol asks", "objective"),
        Item("4", "Rationale", "why a trial is emulated with these data, and after which trials"),
        Item("5", "Data sources", "each source, its purpose, kind, places, time, linkage"),
        Item("6a", "Trial: eligibility", "who could take part in the trial", "trial_eligibility"),
        Item("6b", "Trial: strategies", "the strategies compared, in detail", "trial_strategies",
             "each strategy in enough detail to repeat it"),
        Item("6c", "Trial: assignment", "by lot, patients knowing their arm", "trial_assignment"),
        Item("6d", "Trial: follow-up", "from assignment until when", "trial_follow_up"),
        Item("6e", "Trial: outcomes", "each outcome, how and when measured", "trial_outcome",
             "how and when it is measured"),
        Item("6f", "Trial: contrasts", "the causal contrasts and effect measures",
             "trial_contrast"),
        Item("6g", "Trial: assumptions", "what identifies each contrast, by which variables"),
        Item("6h", "Trial: analysis", "how each contrast is to be estimated, missing data too",
             "trial_analysis", "what is to be done about missing data"),
        Item("7a", "Emulation: eligibility", "the same criteria in the data",
             "emulated_eligibility"),
        Item("7b", "Emulation: strategies", "the same strategies in the data",
             "emulated_strategies"),
        Item("7c", "Emulation: assignment", "how patients were put into arms",
             "emulated_assignment"),
        Item("7d", "Emulation: follow-up", "that it starts at assignment, and how it ends",
             "emulated_follow_up"),
        Item("7e", "Emulation: outcomes", "the same outcomes in the data", "emulated_outcome",
             "how the outcome is defined in the data"),
        Item("7f", "Emulation: contrasts", "the contrasts and measures in the data",
             "emulated_contrast"),
        Item("7g(i)", "Emulation: assumptions", "what was assumed, of confounding first",
             "assumptions", "why the covariates suffice"),
        Item("7g(ii)", "Emulation: assumptions", "the variables that the assumptions rest on"),
        Item("7h(i)", "Emulation: analysis", "how each contrast was estimated, missing data too",
             "analysis"),
        Item("7h(ii)", "Emulation: analysis", "analyses of how much the choices matter",
             "sensitivity", "other sensitivity analyses, or that there were none"),
        Item("8", "Participants", "assessed, eligible, assigned to each strategy", "flow"),
        Item("9", "Baseline data", "characteristics at the start, by strategy"),
        Item("10", "Follow-up", "how long, and why it ended, by strategy", "follow_up"),
        Item("11", "Missing data", "how much is missing of each variable, by strategy",
             "missing_by_arm", "the other variables"),
        Item("12", "Outcomes", "events or levels of each outcome, by strategy", "events"),
        Item("13", "Effect estimates", "each contrast with its precision, absolute and relative",
             "all_scales"),
        Item("14", "Additional analyses", "results of the sensitivity analyses", "sensitivity",
             "results of other sensitivity analyses, or that there were none"),
        Item("15", "Interpretation", "what the findings say of the causal question"),
        Item("16", "Limitations", "where emulation and trial differ, how plausible the assumptions "
             "are", "limits", "what the authors make of it"),
        Item("17", "Ethics", "who approved it"),
        Item("18", "Registration", "whether, when and where the protocol was registered"),
        Item("19", "Data sharing", "whether and where data, code and materials can be had"),
        Item("20", "Funding", "who paid, and their part in the study"),
        Item("21", "Conflicts of interest", "interests of every author"),
    ),
)  # fmt: skip
