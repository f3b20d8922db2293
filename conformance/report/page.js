'use strict';
(() => {
  const $ = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const form = $('#filters');
  const columns = all('thead th[data-column]').map(th => ({ head: th, target: th.dataset.target, profile: th.dataset.profile }));
  const rows = all('tr.case').map(tr => ({
    tr, id: tr.id, group: tr.parentElement.dataset.group, specs: tr.dataset.specs.split('; '), verdicts: tr.dataset.verdicts,
    text: tr.firstElementChild.textContent.toLowerCase(), button: $('button', tr), details: null,
  }));
  const byID = new Map(rows.map(row => [row.id, row]));
  // The letters of data-verdicts are classes too.
  const letters = { pass: 'p', fail: 'f', inconclusive: 'i', 'not-applicable': 'n' };
  const open = new Set();

  // el makes an element; what is in it is text, whatever it looks like.
  function el(name, attributes, ...children) {
    const e = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) e.setAttribute(key, value);
    e.append(...children.filter(c => c !== null && c !== undefined));
    return e;
  }

  // The state of the page is its fragment: #verdict=fail&group=dad&case=DAD-09
  function state() {
    const p = new URLSearchParams(location.hash.slice(1));
    const list = name => (p.get(name) || '').split(',').filter(Boolean);
    const get = name => p.get(name) || '';
    return { q: get('q'), verdict: list('verdict'), group: get('group'), target: get('target'), profile: get('profile'), section: get('section'), open: list('case') };
  }

  function remember() {
    const p = new URLSearchParams(), data = new FormData(form);
    for (const name of ['q', 'group', 'target', 'profile', 'section']) if (data.get(name)) p.set(name, data.get(name));
    if (data.getAll('verdict').length) p.set('verdict', data.getAll('verdict').join(','));
    if (open.size) p.set('case', [...open].join(','));
    const hash = '#' + p.toString().replaceAll('%2C', ',');
    if (hash !== (location.hash || '#')) location.replace(hash);
  }

  function hasSection(specs, wanted) {
    return specs.some(s => s === wanted || s.startsWith(wanted + ',') || s.startsWith(wanted + '.'));
  }

  function apply() {
    const s = state();
    for (const name of ['q', 'group', 'target', 'profile', 'section']) if (form.elements[name].value !== s[name]) form.elements[name].value = s[name];
    for (const box of all('input[name=verdict]', form)) box.checked = s.verdict.includes(box.value);
    const looked = columns.map(c => (!s.target || c.target === s.target) && (!s.profile || c.profile === s.profile));
    showColumns(looked);
    const wanted = s.verdict.map(v => letters[v]);
    const words = s.q.toLowerCase().split(/\s+/).filter(Boolean);
    const section = s.section.trim(), groups = new Map();
    let shown = 0;
    for (const row of rows) {
      const visible = (!s.group || row.group === s.group) && (!section || hasSection(row.specs, section)) && words.every(w => row.text.includes(w)) &&
        looked.some((yes, k) => yes && row.verdicts[k] !== ' ' && (!wanted.length || wanted.includes(row.verdicts[k])));
      row.tr.hidden = !visible;
      if (row.details) row.details.hidden = !visible;
      if (visible) { shown++; groups.set(row.group, true); }
    }
    for (const body of all('#matrix tbody')) body.hidden = !groups.has(body.dataset.group);
    $('#shown').textContent = `${shown} of ${rows.length} cases`;
    open.clear();
    for (const id of s.open) if (byID.has(id)) open.add(id);
    for (const row of rows) if (open.has(row.id) !== (row.button.getAttribute('aria-expanded') === 'true')) toggle(row, open.has(row.id));
  }

  let before = '';
  function showColumns(looked) {
    if (looked.join() === before) return;
    before = looked.join();
    columns.forEach((c, k) => { c.head.hidden = !looked[k]; });
    for (const th of all('thead th[colspan]')) {
      const n = columns.filter((c, k) => looked[k] && c.target === th.dataset.target).length;
      th.hidden = n === 0;
      if (n) th.colSpan = n;
    }
    for (const row of rows) [...row.tr.cells].slice(1).forEach((td, k) => { td.hidden = !looked[k]; });
  }

  async function toggle(row, show) {
    row.button.setAttribute('aria-expanded', show);
    if (!show) {
      if (row.details) row.details.remove();
      row.details = null;
      return;
    }
    const cell = el('td', { colspan: columns.length + 1 }, 'Loading …');
    row.details = el('tr', { class: 'details' }, cell);
    row.details.hidden = row.tr.hidden;
    row.tr.after(row.details);
    try {
      cell.replaceChildren(describe((await load(row.group))[row.id]));
    } catch (e) {
      cell.replaceChildren(`This browser cannot show the details: ${e}`);
    }
  }

  // The details of a group are one compressed text.
  const loaded = new Map();
  function load(group) {
    if (!loaded.has(group)) {
      const octets = Uint8Array.from(atob(document.getElementById('data-' + group).textContent), c => c.charCodeAt(0));
      loaded.set(group, new Response(new Blob([octets]).stream().pipeThrough(new DecompressionStream('deflate-raw'))).json());
    }
    return loaded.get(group);
  }

  function describe(c) {
    const list = el('dl');
    const say = (name, ...value) => { if (value.length && value[0]) list.append(el('dt', null, name), el('dd', null, ...value)); };
    say('sections', ...links(c.specs));
    say('requirements', (c.requirements || []).join(', '));
    say('elsewhere', (c.extern || []).join(', '));
    say('profiles', (c.profiles || []).join(', '));
    say('written in', `${c.file}:${c.line}`);
    const inner = el('div', { class: 'inner' }, list, el('pre', { class: 'scenario' }, c.text.join('\n')));
    for (const r of c.results) inner.append(...outcome(r));
    return inner;
  }

  function outcome(r) {
    const list = el('dl');
    const say = (name, ...value) => { if (value.length && value[0]) list.append(el('dt', null, name), el('dd', null, ...value)); };
    const head = el('h2', null, `${r.target} ${r.profile}: `, el('span', { class: `word ${letters[r.verdict]}` }, r.verdict));
    if (r.verdict === 'fail' || r.verdict === 'inconclusive') {
      say('section', ...links((r.section || '').split('; ')));
      say('step', r.step && `${r.file}:${r.line}: ${r.step}`);
    }
    say('expected', r.expected);
    say(r.verdict === 'not-applicable' ? 'because' : 'observed', r.observed);
    if (r.drawing) say('chance', r.chance);
    if (r.tries > 1) say('tries', String(r.tries));
    const parts = [head, list];
    if (r.files) say('files', el('a', { href: r.files + '.pcapng' }, 'frames (pcapng)'), ', ', el('a', { href: r.files + '.txt' }, 'transcript'));
    if (r.drawing) parts.push(el('div', { class: 'drawing' }, drawing(r.drawing)));
    if (r.trace) parts.push(trace(r));
    return parts;
  }

  function drawing(svg) {
    const parsed = new DOMParser().parseFromString(svg, 'image/svg+xml').documentElement;
    return document.importNode(parsed, true);
  }

  function trace(r) {
    const pre = el('pre', { class: 'trace' });
    for (const line of r.trace) pre.append(line.startsWith('!') ? el('mark', null, line) : line, '\n');
    const box = el('details', null, el('summary', { class: 'summary' }, 'As text'), pre);
    box.open = r.verdict !== 'pass';
    return box;
  }

  function link(spec) {
    const m = /^RFC (\d+)(?:, (section|appendix) (.+))?$/.exec(spec);
    if (!m) return spec;
    return el('a', { href: `https://www.rfc-editor.org/rfc/rfc${m[1]}` + (m[2] ? `#${m[2]}-${m[3]}` : ''), rel: 'noreferrer' }, spec);
  }

  function links(specs) {
    return specs.flatMap((s, k) => k ? [', ', link(s)] : [link(s)]);
  }

  function flip(row) {
    if (!open.delete(row.id)) open.add(row.id);
    remember();
  }

  function move(by) {
    const visible = rows.filter(row => !row.tr.hidden);
    const at = visible.findIndex(row => row.tr.contains(document.activeElement));
    const next = visible[Math.max(0, Math.min(visible.length - 1, at < 0 && by < 0 ? 0 : at + by))];
    if (next) { next.button.focus(); next.tr.scrollIntoView({ block: 'nearest' }); }
  }

  form.addEventListener('input', remember);
  form.addEventListener('submit', e => e.preventDefault());
  form.addEventListener('reset', e => { e.preventDefault(); open.clear(); location.replace('#'); });
  $('#matrix').addEventListener('click', e => {
    const tr = e.target.closest('tr.case');
    if (tr && !String(getSelection())) flip(byID.get(tr.id));
  });
  document.addEventListener('keydown', e => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const typing = e.target.matches('input:not([type=checkbox]), select');
    if (e.key === 'Escape') {
      if (typing) e.target.blur();
      else { open.clear(); location.replace('#'); }
    } else if (!typing && e.key === '/') {
      e.preventDefault();
      form.elements.q.focus();
    } else if (!typing && (e.key === 'j' || e.key === 'k')) {
      move(e.key === 'j' ? 1 : -1);
    } else if (!typing && e.key === 'f') {
      const boxes = all('input[name=verdict]', form), bad = box => box.value === 'fail' || box.value === 'inconclusive';
      const on = boxes.every(box => box.checked === bad(box));
      for (const box of boxes) box.checked = !on && bad(box);
      remember();
    }
  });
  addEventListener('hashchange', apply);
  apply();
  const first = state().open.find(id => byID.has(id));
  if (first) byID.get(first).tr.scrollIntoView();
})();
