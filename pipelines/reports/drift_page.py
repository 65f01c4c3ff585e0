"""The page of the drift report, without its words' values."""

from typing import Final

TEMPLATE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Drift {{ report.since.strftime("%Y-%m-%d") }} to {{ report.until.strftime("%Y-%m-%d") }}</title>
<style>
body {font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color:
#1c1c1c}
table {border-collapse: collapse; margin: 1rem 0} td, th {padding: .2rem .7rem; border-bottom: 1px solid #ddd}
td.n {text-align: right; font-variant-numeric: tabular-nums} th {text-align: left}
.verdict {padding: .8rem 1rem; border-left: 6px solid #8a8a8a; background: #f5f5f5; font-weight: 600}
.drift {border-color: #b3261e} .no {border-color: #33691e}
td.drift {color: #b3261e; font-weight: 600} td.cannot {color: #777} svg {max-width: 100%; height: auto}
</style></head><body>
<h1>Drift, {{ report.since.strftime("%Y-%m-%d %H:%M") }} to {{ report.until.strftime("%Y-%m-%d %H:%M") }}
UTC</h1>
<p class="verdict {{ report.word.split(" ")[0] }}">{{ verdict }}</p>
{% if report.audit %}
<p>Radiologists are asked to read a sample blind: audit request <code>{{ report.audit }}</code>. Nothing was
rolled
back; that is for people to decide once the verdicts are in.</p>
{% endif %}
{% if meanings %}
<h2>What it could mean</h2><ul>
{% for words in meanings %}<li>{{ words }}</li>
{% endfor %}</ul>
{% endif %}
<h2>Who answered</h2>
<table><tr><th>model</th><th>answers</th><th>distinct radiographs</th><th>reference</th><th>says</th></tr>
{% for model, _, _ in models %}
<tr><td>{{ model.model_version }} <code>{{ model.model_digest[:12] }}</code></td><td class="n">{{
model.answers }}</td>
<td class="n">{{ model.radiographs }}</td><td>{% if model.reference %}{{ model.reference }}
({{ model.reference_radiographs }} radiographs){% else %}none for this model{% endif %}</td>
<td>{{ model.word }}</td></tr>
{% else %}<tr><td colspan="5">Nobody: there is no answer in this window.</td></tr>
{% endfor %}</table>
{% if report.is_cut %}<p>There were more answers than were read: only the newest were compared.</p>{% endif %}
{% if report.images_lost %}<p>{{ report.images_lost }} radiographs could not be measured: the object is gone,
another file by now, or does not decode.</p>{% endif %}
{% for model, plots, rows in models %}
<h2>Model {{ model.model_version }}</h2>
{% for title, plot in plots %}<h3>{{ title }}</h3>
{{ plot }}
{% endfor %}
<table><tr><th>kind</th><th>quantity</th><th>reference</th><th>window</th><th>PSI</th><th>distance</th>
<th>adjusted p</th><th>would be seen from</th><th>says</th></tr>
{% for each, expected, actual in rows %}
<tr><td>{{ each.measure.kind }}</td><td>{{ each.measure }}</td><td class="n">{{ expected }}</td>
<td class="n">{{ actual }}</td><td class="n">{{ each.psi | figure }}</td><td class="n">{{ each.distance |
figure }}</td>
<td class="n">{{ each.p_adjusted | figure }}</td><td class="n">{{ each.detectable | figure }}</td>
<td class="{{ each.word.split(" ")[0] }}">{{ each.word }}</td></tr>
{% endfor %}</table>
{% if model.missing %}<p>Not compared, because the window or the reference has it not:
{{ model.missing | join(", ") }}.</p>{% endif %}
{% endfor %}
<h2>How to read this</h2>
<p>A quantity has drifted where the difference is sure (p, adjusted by Benjamini and Hochberg over all
comparisons of the window, at most {{ report.rules.level }}) and notable (PSI from {{
report.rules.notable_psi }} on for a distribution; Cohen's h from {{ report.rules.notable_effect }} on for a
share). Where nothing has changed, at most {{ (100 * report.rules.level) | round | int }} of 100 windows say
drift. Below {{ report.rules.minimum }} radiographs on either side nothing is said. <i>Distance</i> is that
of Kolmogorov and Smirnov, or Cohen's h; smaller ones than <i>would be seen from</i> may be there unseen.
How long answers take is judged apart and is no drift of patients.</p>
<p>A radiograph that was asked about several times counts once. Several radiographs of one patient count as
several, since the journal knows no patients: a few patients who are examined daily may look like drift. A
reference made from a labelled split has that split's prevalence and choice of films: most hospitals will
differ from it from the first day on; one made from their own first weeks is the better one.</p>
</body></html>
"""
