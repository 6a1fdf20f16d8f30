"""How a page looks: light or dark as the reader's system is, on a telephone as on a wide screen."""

STYLE = """
:root { color-scheme: light dark; --ink: #1d2330; --dim: #5b6475; --paper: #f5f6f8; --card: #ffffff; --line: #dde1e8;
  --accent: #2f6fde; --marked: #e8f0fd; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8f0; --dim: #98a2b5; --paper: #12151b; --card: #1a1f28;
  --line: #303846; --accent: #7aa7ff; --marked: #22304a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI",
  Roboto, "Noto Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .2rem 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0; }
p { margin: 0; overflow-wrap: anywhere; }
.dim, figcaption, .note { color: var(--dim); font-size: .88rem; }
.note { margin: .5rem 0 0; }
a { color: var(--accent); }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; margin: 0 0 1.3rem; font-size: .92rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.1rem 1.2rem 1.2rem;
  margin: 0 0 1.1rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 128px), 1fr)); gap: .8rem; }
.fact { border-left: 3px solid var(--accent); padding: .1rem 0 .1rem .7rem; min-width: 0; }
.fact b { display: block; font-size: 1.2rem; line-height: 1.3; overflow-wrap: anywhere; }
.fact span { color: var(--dim); font-size: .85rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); gap: 1.1rem; }
figure { margin: 0; min-width: 0; }
figure > strong { display: block; font-size: .95rem; font-weight: 600; margin-bottom: .2rem; }
figure svg { display: block; width: 100%; height: auto; max-width: 540px; }
figure img { display: block; width: 100%; height: auto; max-width: 940px; background: #fff; border-radius: 8px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .32rem .75rem .32rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { color: var(--dim); font-weight: 600; white-space: nowrap; }
td.number, th.number { text-align: right; white-space: nowrap; }
td.text { min-width: 5rem; max-width: 34rem; overflow-wrap: anywhere; }
tr.marked td { background: var(--marked); font-weight: 600; }
pre { margin: 0; padding: .7rem .9rem; background: var(--paper); border: 1px solid var(--line);
  border-radius: 8px; white-space: pre-wrap; overflow-wrap: anywhere; font: .85rem/1.5 ui-monospace, Menlo, Consolas,
  monospace; }
section > * + * { margin-top: 1rem; }
.missing { border: 1px dashed var(--line); border-radius: 8px; padding: .8rem 1rem; color: var(--dim); }
details > summary { cursor: pointer; color: var(--dim); font-size: .92rem; }
details[open] > summary { margin-bottom: .6rem; }
@media (max-width: 480px) { main { padding: 1rem .5rem 2rem; } section { padding: .9rem .8rem 1rem; }
  h1 { font-size: 1.4rem; } }
@media print { body { background: #fff; } section { break-inside: avoid; } }
"""
