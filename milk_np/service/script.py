"""Style and script of the page at /. All text from the service is set as text, never as markup."""

from __future__ import annotations

STYLE = """
form{background:var(--card);border-radius:6px;padding:.8rem;margin:.8rem 0}
fieldset{border:0;padding:0;margin:0 0 .5rem}fieldset label{margin-right:1rem}legend{padding:0}
.fields{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,14rem),1fr));gap:.6rem;margin-bottom:.7rem}
.fields label{display:flex;flex-direction:column;justify-content:flex-end;font-size:.9rem;gap:.2rem}
.fields input,.fields select,button{font:inherit;color:inherit;background:var(--back);border:1px solid var(--edge);
border-radius:4px;padding:.4rem .5rem;min-height:2.5rem;min-width:0;width:100%}
button{width:auto;cursor:pointer;padding:.4rem 1.2rem;background:var(--c0);color:var(--back);border-color:var(--c0)}
:focus-visible{outline:2px solid var(--c0);outline-offset:2px}
#said{min-height:1.5em}#said.bad{color:var(--bad)}
#list{list-style:none;padding:0;margin:0}
#list>li{border-top:1px solid var(--grid);padding:.7rem 0;display:grid;gap:.1rem .8rem;
grid-template-columns:2.4rem minmax(0,1fr) auto}
.place{font-variant-numeric:tabular-nums;color:var(--muted);text-align:right}
.name{font-weight:600;overflow-wrap:anywhere}.score{font-variant-numeric:tabular-nums;color:var(--muted)}
.why,.switches,.moved{grid-column:2/-1;font-size:.92rem}.why b{font-weight:500}
.switches label{display:inline-flex;align-items:center;gap:.35rem;min-height:2rem;margin-right:1rem}
.switches input{width:1.1rem;height:1.1rem}
"""

SCRIPT = """
'use strict';
const at = id => document.getElementById(id);
const made = (name, kind, text) => {
  const node = document.createElement(name);
  if (kind) node.className = kind;
  if (text !== undefined) node.textContent = text;
  return node;
};
let asked = 0;

function someone() {
  const who = at('who').value.trim();
  if (document.querySelector('[name=kind]:checked').value === 'user') return {user: who};
  return {history: who.split(',').map(part => part.trim()).filter(part => part)};
}

async function ask(path, body) {
  const headers = {'Content-Type': 'application/json'};
  if (at('key').value) headers.Authorization = 'Bearer ' + at('key').value;
  const answer = await fetch(path, {method: 'POST', headers, body: JSON.stringify(body)});
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.detail || found.title);
  return found;
}

function say(text, bad) {
  at('said').textContent = text;
  at('said').className = bad ? 'bad' : '';
  at('who').setAttribute('aria-invalid', bad ? 'true' : 'false');
}

function named(entry) { return entry.title ? entry.title + ' (' + entry.id + ')' : entry.id; }

function why(entry) {
  const line = made('div', 'why');
  if (!entry.reasons.length) { line.textContent = 'Nothing of the history to compare with.'; return line; }
  line.append('Because of: ');
  entry.reasons.forEach((reason, n) => {
    if (n) line.append(', ');
    line.append(made('b', '', named(reason)), ' ' + reason.weight.toPrecision(2));
  });
  return line;
}

function switches(entry, who, candidates) {
  const line = made('div', 'switches'), moved = made('div', 'moved');
  moved.setAttribute('role', 'status');
  if (!entry.modalities.length) {
    line.textContent = 'Its features are not at hand: start the service with --data to try it without a modality.';
    return [line];
  }
  line.setAttribute('role', 'group');
  line.setAttribute('aria-label', 'Modalities of ' + named(entry));
  let turn = 0;
  entry.modalities.forEach(name => {
    const label = made('label'), box = made('input');
    box.type = 'checkbox'; box.checked = true; box.value = name;
    label.append(box, name);
    line.append(label);
    box.addEventListener('change', async () => {
      const mine = ++turn;
      const without = [...line.querySelectorAll('input:not(:checked)')].map(each => each.value);
      if (without.length === entry.modalities.length) { moved.textContent = 'An item needs one modality.'; return; }
      if (!without.length) { moved.textContent = ''; return; }
      try {
        const found = await ask('/without', {...who, item: entry.id, without, candidates});
        if (mine !== turn) return;
        moved.textContent = 'Without ' + without.join(', ') + ': place ' + found.place_without + ' in place of ' +
          found.place + ' of ' + found.candidates + ' (score ' + found.score_without.toPrecision(3) + ' in place of ' +
          found.score.toPrecision(3) + ').';
      } catch (error) { moved.textContent = error.message; }
    });
  });
  return [line, moved];
}

at('form').addEventListener('submit', async event => {
  event.preventDefault();
  const mine = ++asked, who = someone(), candidates = at('candidates').value;
  say('Searching ...');
  try {
    const found = await ask('/look', {...who, k: Number(at('k').value), candidates});
    if (mine !== asked) return;
    at('list').replaceChildren(...found.items.map((entry, n) => {
      const item = made('li');
      item.append(made('span', 'place', n + 1), made('span', 'name', named(entry)),
        made('span', 'score', entry.score.toPrecision(4)), why(entry), ...switches(entry, who, candidates));
      return item;
    }));
    say(found.items.length + ' items, from a history of ' + found.history + '. Numbers beside reasons: ' +
      found.how + '.');
  } catch (error) { at('list').replaceChildren(); say(error.message, true); }
});

const given = new URLSearchParams(location.search);
for (const name of ['user', 'history']) if (given.has(name)) {
  document.querySelector('[name=kind][value=' + name + ']').checked = true;
  at('who').value = given.get(name);
  at('form').requestSubmit();
}
"""
