"""The page as HTML for Jinja2; it stands in a module, so that a kernel carries it as it carries all source."""

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Soundpost run, status {{ table.status }}</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; color: #222; background: #fff; }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; }
.status { display: inline-block; padding: .15rem .6rem; border-radius: 1rem; color: #fff; background: #b3402a; }
.status.ok { background: #3d7a49; }
svg { max-width: 100%; height: auto; display: block; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: .5rem 1.5rem; margin: 1rem 0; }
dt { color: #666; font-size: .85rem; } dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: .15rem .9rem .15rem 0; vertical-align: middle; }
th { color: #666; font-weight: normal; font-size: .85rem; } td.n, th.n { text-align: right; }
.labels svg { width: 13rem; }
.clips { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: 1.1rem; }
.clip { border: 1px solid #ddd; border-radius: .4rem; padding: .6rem; font-size: .9rem; overflow-wrap: anywhere; }
.clip img, .clip audio { width: 100%; display: block; } .clip audio { height: 2rem; margin-top: .3rem; }
.quiet { color: #666; }
</style>
</head>
<body>
<h1>Soundpost run</h1>
<p><span class="status{{ " ok" if table.status == 0 }}" id="status">status {{ table.status }}</span> {{ status }}</p>
<dl>
{% for name, value in facts %}
<div><dt>{{ name }}</dt><dd>{{ value }}</dd></div>
{% endfor %}
</dl>
{% if score %}
<h2>Score</h2>
<p id="score">lwlrap {{ "%.4f" | format(score.lwlrap) }}, accuracy {{ "%.4f" | format(score.accuracy)
}} over {{ score.n_clips }} {{ run.unit }}{% if score.n_without %}; {{
score.n_without }} {{ run.unit }} of the truth are in no row{% endif %}</p>
{% endif %}
{% if timeline %}
<h2>What ran when</h2>
{{ timeline }}
{% endif %}
{% if memory %}
<h2>Memory</h2>
{{ memory }}
<h2>Speed</h2>
{{ speed }}
{% endif %}
{% if weights or stages %}
<h2>Blend</h2>
{{ weights }}
{% if not weights %}
<table><tr><th>stage</th><th>rule</th><th>inputs, with their weights</th></tr>
{% for stage in stages %}
<tr><td>{{ stage.output }}</td><td>{{ stage.rule }}</td><td>{% for name in stage.inputs %}{{ name }} {{
stage.weights.get(name, 1) }}{{ ", " if not loop.last }}{% endfor %}</td></tr>
{% endfor %}
</table>
{% endif %}
{% endif %}
{% if labels %}
<h2>Answers of each label</h2>
<table class="labels">
<tr><th>label</th><th class="n">first of {{ run.unit }}</th><th class="n">mean</th>{% if score
%}<th class="n">precision</th>{% endif %}<th>{{ run.unit }} over probability, logarithmic</th></tr>
{% for label in labels %}
<tr><td>{{ label.name }}</td><td class="n">{{ label.n_first }}</td><td class="n">{{
"%.3f" | format(label.mean) }}</td>{% if score
%}<td class="n">{{ "%.3f" | format(label.precision) if label.precision is not none else "" }}</td>{% endif %}
<td>{{ label.histogram }}</td></tr>
{% endfor %}
</table>
{% if n_more_labels %}<p class="quiet">and {{ n_more_labels }} labels more</p>{% endif %}
{% else %}
<h2>Answers</h2>
<p class="quiet">{{ run.remark or "there is no row" }}</p>
{% endif %}
{% for title, found in clips.items() %}
<h2>{{ title }}</h2>
<div class="clips">
{% for clip in found %}
<div class="clip">
<strong>{{ clip.name }}</strong>{% if clip.truth %} <span class="quiet">truth: {{ clip.truth }}</span>{% endif %}<br>
{% for label, value in clip.labels %}{{ label }} {{ "%.2f" | format(value) }}{{ ", " if not loop.last }}{% endfor %}
{% if clip.why %}<br><span class="quiet">{{ clip.why }}</span>{% endif %}
{% if clip.picture %}<img alt="spectrogram of {{ clip.name }}" src="{{ clip.picture }}">{% endif %}
{% if clip.sound %}<audio controls preload="none" src="{{ clip.sound }}"></audio>{% endif %}
</div>
{% endfor %}
</div>
{% endfor %}
<p class="quiet">{% for kind, n in counts.items() %}{{ kind }}: {{ n }} {{
"recordings" if run.unit == "rows" else "clips" }}{{ ", " if not loop.last else "." }}{% endfor %}
{% if not n_paths %} The {{ "rows are windows of recordings" if run.unit == "rows" else "clips are not here"
}}, so there are no pictures of them.{% endif %}</p>
{% set lost = run.ended.get("unreadable", {}) %}
{% if lost %}
<h2>Unreadable, their rows hold the {{ "means of their columns" if run.unit == "rows" else "class priors" }}</h2>
<ul>{% for reason in lost.values() %}<li>{{ reason }}</li>{% endfor %}</ul>
{% endif %}
{% set fallbacks = run.ended.get("fallbacks", {}) %}
{% if fallbacks or run.ended.get("members_skipped") %}
<h2>Fallbacks</h2>
<ul>{% for what, n in fallbacks.items() %}<li>{{ what }}: {{ n }}</li>{% endfor %}
{% for name, reason in run.ended.members_skipped.items() %}<li>member skipped: {{ name }}: {{
reason }}</li>{% endfor %}</ul>
{% endif %}
<p class="quiet">{{ run.path.name }} of Soundpost {{ table.soundpost }}</p>
</body>
</html>
"""
