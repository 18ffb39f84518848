"""What CHEERS 2022 asks of a report of a health economic evaluation.

Items are paraphrased from Husereau et al., BMJ 2022;376:e067975. Items 16 and 22 do not apply where
costs and effects come from the same patients and no decision model is used, as the authors of
CHEERS say.
"""

from __future__ import annotations

from loyalty_research.effects.reporting_guideline import Guideline, Item

CHEERS = Guideline(
    "CHEERS",
    "CHEERS 2022",
    "Husereau et al., BMJ 2022;376:e067975",
    (
        Item("1", "Title", "the title says economic evaluation and what is compared"),
        Item("2", "Abstract", "a summary in sections: context, methods, results, alternatives"),
        Item("3", "Background and objectives", "context, question, what hangs on the answer"),
        Item("4", "Analysis plan", "whether there was a plan, and where it can be read"),
        Item("5", "Study population", "who the patients are", "criteria",
             "their ages, conditions, circumstances"),
        Item("6", "Setting and location", "what of place and system may matter"),
        Item("7", "Comparators", "what is compared, and why", "arms", "why these were chosen"),
        Item("8", "Perspective", "whose costs and benefits count, and why"),
        Item("9", "Time horizon", "over which time, and why"),
        Item("10", "Discount rate", "the rate, and why"),
        Item("11", "Selection of outcomes", "which outcomes stand for benefit and harm", "outcome",
             "which outcome stands for harm"),
        Item("12", "Measurement of outcomes", "how they were measured"),
        Item("13", "Valuation of outcomes", "how, and by whom, they were valued"),
        Item("14", "Resources and costs", "how costs were measured and valued"),
        Item("15", "Currency and price date", "currency, its year, dates of quantities and prices"),
        Item("16", "Model", "the model, why it was used, where it can be had", "no_model"),
        Item("17", "Analytics and assumptions", "methods of analysis, extrapolation, validation",
             "methods", "assumptions about prices and about time beyond the data"),
        Item("18", "Heterogeneity", "how results for subgroups were estimated", "subgroups"),
        Item("19", "Distributional effects", "who gains and who pays; weights for priorities"),
        Item("20", "Uncertainty", "how uncertainty was described", "uncertainty",
             "uncertainty about prices and other inputs"),
        Item("21", "Engagement", "how patients and others were involved"),
        Item("22", "Study parameters", "every input of the model with its uncertainty", "inputs"),
        Item("23", "Main results", "mean costs and outcomes and the overall measure",
             "economic_results"),
        Item("24", "Effect of uncertainty", "what judgements, discounting and horizon change"),
        Item("25", "Effect of engagement", "what the involvement changed"),
        Item("26", "Findings and limitations", "findings, limits, fairness, what they mean for "
             "practice", "limits", "what the authors make of it"),
        Item("27", "Funding", "who paid, and their part in the study"),
        Item("28", "Conflicts of interest", "interests of everybody who contributed"),
    ),
)  # fmt: skip
