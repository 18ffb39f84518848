"""What CONSORT 2010 asks of a report of a randomised trial, and its extension of 2012 to clusters.

Items are paraphrased; the statements themselves are Schulz, Altman and Moher, BMJ 2010;340:c332,
and Campbell, Piaggio, Elbourne and Altman, BMJ 2012;345:e5661. CONSORT 2025 (Hopewell et al., BMJ
2025;389:e081123) has since replaced the statement of 2010, with other numbers; the extension to
clusters still has those of 2010.
"""

from __future__ import annotations

import dataclasses

from loyalty_research.effects.reporting_guideline import Guideline, Item

CONSORT = Guideline(
    "CONSORT",
    "CONSORT 2010",
    "Schulz et al., BMJ 2010;340:c332",
    (
        Item("1a", "Title", "the title says that the trial is randomised"),
        Item("1b", "Abstract", "a summary in sections: design, methods, results, conclusions"),
        Item("2a", "Background", "what is known and why the trial was needed"),
        Item("2b", "Objectives", "what was to be found out", "objective", "hypotheses"),
        Item("3a", "Trial design", "the kind of trial and the allocation ratio", "allocation",
             "whether arms ran in parallel, and the ratio that was planned"),
        Item("3b", "Trial design", "what was changed after the start, and why"),
        Item("4a", "Participants", "who could take part", "criteria"),
        Item("4b", "Participants", "where the data were collected"),
        Item("5", "Interventions", "what each arm received, how and when", "arms",
             "what each arm received in enough detail to repeat it"),
        Item("6a", "Outcomes", "each outcome, how and when it was measured", "outcome",
             "how and when it was measured, and which outcome was primary"),
        Item("6b", "Outcomes", "changes of outcomes after the start, and why"),
        Item("7a", "Sample size", "how the number of patients was decided"),
        Item("7b", "Sample size", "interim analyses and rules for stopping"),
        Item("8a", "Sequence generation", "how the random sequence was made", "chance",
             "how the sequence was made"),
        Item("8b", "Sequence generation", "restrictions, such as blocks and their size"),
        Item("9", "Allocation concealment", "how the sequence was kept hidden until assignment"),
        Item("10", "Implementation", "who made the sequence, who enrolled, who assigned"),
        Item("11a", "Blinding", "who did not know the arm, and how"),
        Item("11b", "Blinding", "how alike the arms looked"),
        Item("12a", "Statistical methods", "how arms were compared", "methods"),
        Item("12b", "Statistical methods", "methods of further analyses", "other_methods"),
        Item("13a", "Participant flow", "assigned, treated as meant, analysed, by arm", "flow_arms",
             "how many received what was meant for them"),
        Item("13b", "Participant flow", "lost and left out after assignment, by arm, and why",
             "lost", "who was lost before these data, and the reasons"),
        Item("14a", "Recruitment", "dates of recruitment and follow-up"),
        Item("14b", "Recruitment", "why the trial ended"),
        Item("15", "Baseline data", "characteristics of each arm at the start, as a table"),
        Item("16", "Numbers analysed", "patients in each analysis, by arm", "analysed",
             "whether patients stayed in the arm they were assigned to"),
        Item("17a", "Outcomes and estimation", "result of each arm, effect and its precision",
             "results"),
        Item("17b", "Outcomes and estimation", "effects on an absolute and a relative scale where "
             "the outcome is an event", "both_scales"),
        Item("18", "Ancillary analyses", "results of further analyses, planned or not",
             "other_results", "which of them were planned"),
        Item("19", "Harms", "harm and unintended effects in each arm"),
        Item("20", "Limitations", "what may bias or blur the result, and how many questions were "
             "asked", "limits", "what the authors make of it"),
        Item("21", "Generalisability", "to whom else the result applies"),
        Item("22", "Interpretation", "what it means, benefit against harm, beside other evidence"),
        Item("23", "Registration", "number and register"),
        Item("24", "Protocol", "where the protocol can be read"),
        Item("25", "Funding", "who paid, and their part in the study"),
    ),
)  # fmt: skip

_CLUSTERS = {
    "1a": ("the title says that clusters were randomised", "", ""),
    "2a": ("what is known, and why clusters were assigned", "", ""),
    "2b": ("what was to be found out, of clusters or of patients", "objective", "hypotheses, and "
           "whether they are of clusters or of patients"),
    "3a": ("the kind of trial, the allocation ratio, what a cluster is", "allocation",
           "what a cluster is, and the ratio that was planned"),
    "4a": ("which clusters and which patients could take part", "criteria", "which clusters could"),
    "5": ("what each arm received, and whether clusters or patients did", "arms",
          "what each arm received in enough detail to repeat it, and at which level"),
    "6a": ("each outcome, how and when it was measured, of clusters or patients", "outcome",
           "how and when it was measured, at which level, and which outcome was primary"),
    "7a": ("how the number of clusters and their size were decided, with the intracluster "
           "correlation assumed", "", ""),
    "8b": ("restrictions, such as strata or pairs of clusters", "", ""),
    "9": ("that clusters were allocated, and from whom it was hidden until then", "", ""),
    "12a": ("how arms were compared and clusters taken into account", "methods", ""),
    "13a": ("clusters and patients assigned, treated as meant, analysed, by arm", "flow_arms",
            "clusters of each arm, and how many received what was meant for them"),
    "13b": ("clusters and patients lost and left out, by arm, and why", "lost",
            "clusters that were lost, who was lost before these data, and the reasons"),
    "15": ("characteristics of clusters and patients of each arm at the start", "", ""),
    "16": ("clusters and patients in each analysis, by arm", "analysed",
           "clusters of each arm, and whether they stayed in it"),
    "17a": ("result of each arm, effect, precision, intracluster correlation", "results_clustered",
            ""),
    "21": ("to which other clusters and patients the result applies", "", ""),
}  # fmt: skip
"""Item -> what it asks of a trial of clusters, what the suite knows, what it does not."""

_IMPLEMENTATION = (
    Item(
        "10a", "Implementation", "who made the sequence, who enrolled clusters, who assigned them"
    ),
    Item("10b", "Implementation", "how patients of a cluster came into the trial"),
    Item("10c", "Implementation", "who consented, before or after clusters were assigned"),
)


def _of_clusters(item: Item) -> tuple[Item, ...]:
    if item.item == "10":
        return _IMPLEMENTATION
    if item.item not in _CLUSTERS:
        return (item,)
    what, known, left = _CLUSTERS[item.item]
    return (dataclasses.replace(item, what=what, known=known, left=left),)


CONSORT_CLUSTER = Guideline(
    "CONSORT cluster",
    "CONSORT 2010 with its extension to cluster trials, 2012",
    "Campbell et al., BMJ 2012;345:e5661",
    tuple(one for item in CONSORT.items for one in _of_clusters(item)),
)
