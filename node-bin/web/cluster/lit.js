// The view library, at one place. Nothing here binds `style`: the page's policy refuses it; what has to be placed is placed by hand.
export { html, svg, nothing, render } from "../vendor/lit-html/lit-html.js";
export { repeat } from "../vendor/lit-html/directives/repeat.js";
