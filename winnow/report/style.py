"""The style sheet of a report: light and dark as the reader's machine is, and for paper."""

STYLE = """
:root{color-scheme:light dark;--ink:#1d2430;--soft:#5b6675;--line:#d9dee6;--paper:#fff;--card:#f5f7fa;
--a:#2563a8;--b:#b4541a;--c:#3a7d44}
@media (prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa6b5;--line:#2f3947;--paper:#12161d;--card:#1a2029;
--a:#6cb0f5;--b:#f0a060;--c:#7cc98a}}
*{box-sizing:border-box}
body{margin:0 auto;padding:2rem 1.25rem;max-width:60rem;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;margin:0}h2{margin:2.5rem 0 .5rem;border-bottom:1px solid var(--line)}h3{margin:1.5rem 0 .25rem}
header p,footer,figcaption,th,dt{color:var(--soft)}
nav a{margin-right:1rem;color:var(--a)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(10rem,1fr));gap:.75rem;margin:1.25rem 0}
.tiles div{background:var(--card);border-radius:.5rem;padding:.75rem}dt{font-size:.8rem}
dd{margin:.25rem 0 0;font-size:1.25rem;font-variant-numeric:tabular-nums}
figure{margin:1.25rem 0;break-inside:avoid}figcaption{font-size:.85rem}
svg{width:100%;height:auto;font-size:11px}svg text{fill:var(--soft)}
.end{text-anchor:end}.middle{text-anchor:middle}.grid{stroke:var(--line)}.line{fill:none;stroke-width:2}
.l0{stroke:var(--a)}.l1{stroke:var(--b)}.l2{stroke:var(--c)}.d0{fill:var(--a)}.d1{fill:var(--b)}.d2{fill:var(--c)}
.bar{fill:var(--a);opacity:.55}.reach{stroke:var(--ink);stroke-width:1.5}
.keys{font-size:.8rem}.key{margin-right:1rem}.k0{color:var(--a)}.k1{color:var(--b)}.k2{color:var(--c)}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.85rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top}
.nothing{background:var(--card);border-radius:.5rem;padding:.75rem}
@media print{body{max-width:none;padding:0}nav{display:none}section{break-inside:auto}tr{break-inside:avoid}}
""".strip()
