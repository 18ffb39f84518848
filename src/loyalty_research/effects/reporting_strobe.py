"""What STROBE 2007 asks of a report of a cohort study.

Items are paraphrased from the checklist for cohort studies of von Elm et al., Lancet 2007;370:1453
and PLoS Medicine 2007;4:e296.
"""

from __future__ import annotations

from loyalty_research.effects.reporting_guideline import Guideline, Item

STROBE = Guideline(
    "STROBE",
    "STROBE 2007 for cohort studies",
    "von Elm et al., Lancet 2007;370:1453",
    (
        Item("1a", "Title", "the title or abstract names the design by its usual term"),
        Item("1b", "Abstract", "a balanced summary of what was done and found"),
        Item("2", "Background", "what is known and why the study was needed"),
        Item("3", "Objectives", "what was to be found out", "objective", "hypotheses"),
        Item("4", "Study design", "the main features of the design, early on", "design"),
        Item("5", "Setting", "places and dates of recruitment, exposure, follow-up, collection"),
        Item("6a", "Participants", "who could take part, how they were found and followed",
             "criteria", "how patients were found and followed"),
        Item("6b", "Participants", "criteria of matching, and numbers with and without exposure",
             "matched", "what patients were matched by"),
        Item("7", "Variables", "outcomes, exposures, confounders, effect modifiers", "variables",
             "every confounder and effect modifier, and how each is defined"),
        Item("8", "Data sources", "where each variable comes from, how it was measured, alike in "
             "both groups"),
        Item("9", "Bias", "what was done against bias", "bias", "what else was done"),
        Item("10", "Study size", "how the number of patients came about"),
        Item("11", "Quantitative variables", "how numbers were used or grouped, and why"),
        Item("12a", "Statistical methods", "all methods, those against confounding too", "methods",
             "which confounders are held alike"),
        Item("12b", "Statistical methods", "methods for subgroups and interactions", "subgroups"),
        Item("12c", "Statistical methods", "what was done about missing data", "missing"),
        Item("12d", "Statistical methods", "what was done about loss to follow-up"),
        Item("12e", "Statistical methods", "sensitivity analyses", "sensitivity",
             "other sensitivity analyses, or that there were none"),
        Item("13a", "Participants", "numbers at each stage, from eligible to analysed", "flow"),
        Item("13b", "Participants", "why patients were left out at each stage", "flow_reasons"),
        Item("13c", "Participants", "a flow diagram, if it helps"),
        Item("14a", "Descriptive data", "characteristics of the patients and their exposures"),
        Item("14b", "Descriptive data", "how many lack a value, by variable", "missing_by_arm",
             "the other variables"),
        Item("14c", "Descriptive data", "how long patients were followed", "follow_up"),
        Item("15", "Outcome data", "events or levels of the outcome", "events"),
        Item("16a", "Main results", "unadjusted and adjusted estimates, their precision, which "
             "confounders and why", "unadjusted", "which confounders, and why"),
        Item("16b", "Main results", "boundaries of categories made from numbers"),
        Item("16c", "Main results", "a relative risk as an absolute one", "absolute"),
        Item("17", "Other analyses", "subgroups, interactions, sensitivity", "other_results"),
        Item("18", "Key results", "the main results against the objectives", "key_result",
             "what it says of the objectives"),
        Item("19", "Limitations", "sources of bias, their direction and size", "limits",
             "direction and size of bias"),
        Item("20", "Interpretation", "a cautious reading beside other evidence"),
        Item("21", "Generalisability", "to whom else the result applies"),
        Item("22", "Funding", "who paid, and their part in the study"),
    ),
)  # fmt: skip
