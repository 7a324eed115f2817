// Small line drawings, 20 by 20, in the colour of the text beside them. They say nothing to a screen reader: what they stand on has a name.

import { html, svg } from "./lit.js";

const PATHS = {
  hash: svg`<path d="M7.6 3.5 6 16.5M13.9 3.5l-1.6 13M3.7 7.5h13M3.2 12.5h13"/>`,
  lock: svg`<rect x="4.5" y="9" width="11" height="7.5" rx="1.6"/><path d="M7 9V6.4a3 3 0 0 1 6 0V9"/>`,
  group: svg`<circle cx="7.2" cy="7.2" r="2.7"/><path d="M2.4 16c.3-3 2.2-4.6 4.8-4.6S11.700 13 12 16"/><path d="M12.600 4.900a2.500 2.500 0 0 1 0 4.700M14 11.800c2 .5 3.300 1.900 3.600 4.200"/>`,
  person: svg`<circle cx="10" cy="6.800" r="3.100"/><path d="M4 16.700c.4-3.500 2.700-5.300 6-5.300s5.600 1.800 6 5.300"/>`,
  search: svg`<circle cx="8.800" cy="8.800" r="5"/><path d="m12.600 12.600 4.100 4.100"/>`,
  pin: svg`<path d="M7.300 3.500h5.400l-.6 4.900 2.600 3H5.300l2.600-3zM10 11.400v5.100"/>`,
  back: svg`<path d="M12 4.500 6.500 10l5.500 5.500"/>`,
  close: svg`<path d="m5 5 10 10M15 5 5 15"/>`,
  more: svg`<g fill="currentColor" stroke="none"><circle cx="4.500" cy="10" r="1.500"/><circle cx="10" cy="10" r="1.500"/><circle cx="15.500" cy="10" r="1.500"/></g>`,
  reply: svg`<path d="M8 4.500 3.500 9 8 13.500M3.500 9h7.300c3.500 0 5.700 2.200 5.700 6"/>`,
  smile: svg`<circle cx="10" cy="10" r="6.700"/><path d="M7.200 12c.7 1 1.600 1.500 2.800 1.500s2.100-.5 2.800-1.500"/><path d="M7.700 7.900v.2M12.300 7.900v.2" stroke-width="2"/>`,
  edit: svg`<path d="m4 16 .7-3.300 8.500-8.500a1.400 1.400 0 0 1 2 0l.6.6a1.400 1.400 0 0 1 0 2l-8.500 8.500z"/>`,
  trash: svg`<path d="M4 5.800h12M8 5.500V3.800h4v1.700M5.500 6l.7 10.200h7.600L14.500 6"/>`,
  link: svg`<path d="M8.500 11.500a3 3 0 0 0 4.200 0l3-3a3 3 0 0 0-4.200-4.200l-1 1"/><path d="M11.500 8.500a3 3 0 0 0-4.200 0l-3 3a3 3 0 0 0 4.200 4.200l1-1"/>`,
  plus: svg`<path d="M10 4v12M4 10h12"/>`,
  down: svg`<path d="M10 4v11.500M5.200 10.900 10 15.700l4.800-4.800"/>`,
  up: svg`<path d="M10 16V4.500M5.200 9.100 10 4.300l4.800 4.800"/>`,
  send: svg`<path d="M3.500 10 16.500 4l-3.700 12.500-3.300-4.300zM9.500 12.200l3-3.700"/>`,
  thread: svg`<path d="M4 4.500h12v8.500H9.500L6 16.200V13H4z"/>`,
  settings: svg`<path d="M3.500 6h7M14.500 6h2M3.500 14h2M9.500 14h7"/><circle cx="12.500" cy="6" r="2"/><circle cx="7.500" cy="14" r="2"/>`,
  info: svg`<circle cx="10" cy="10" r="6.700"/><path d="M10 9.200v4.300M10 6.400v.2"/>`,
  check: svg`<path d="m4.500 10.500 3.700 3.700 7.300-8"/>`,
  clock: svg`<circle cx="10" cy="10" r="6.500"/><path d="M10 6.200V10l2.600 1.700"/>`,
  warn: svg`<path d="M10 3.800 17 16H3z"/><path d="M10 8.500v3.300M10 13.900v.1"/>`,
  door: svg`<path d="M11.500 3.500h-6v13h6M9 10h8M14 7l3 3-3 3"/>`,
  keyboard: svg`<rect x="2.500" y="5.500" width="15" height="9" rx="1.600"/><path d="M5.500 8.500h.1M8.500 8.500h.1M11.500 8.500h.1M14.500 8.500h.1M6.500 11.500h7"/>`,
  compass: svg`<circle cx="10" cy="10" r="6.700"/><path d="m12.800 7.200-1.500 4.100-4.100 1.500 1.500-4.100z"/>`,
  archive: svg`<rect x="3.500" y="4" width="13" height="3.500" rx=".8"/><path d="M4.700 7.500v8.500h10.600V7.500M8 10.500h4"/>`,
  at: svg`<circle cx="10" cy="10" r="2.800"/><path d="M12.800 7.200v3.700c0 2.600 3.700 2.300 3.700-.9a6.500 6.500 0 1 0-2.600 5.200"/>`,
};

export const icon = (name) => html`<svg class="icon" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round">${PATHS[name]}</svg>`;

export const kindIcon = (room) => icon({ public: "hash", private: "lock", group: "group", direct: "person" }[room.kind] ?? "hash");
