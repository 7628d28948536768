"use strict";
{
  const words = { "": "as the system", light: "light", dark: "dark" };
  const order = Object.keys(words);
  const button = document.getElementById("theme");
  const put = (theme) => {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    button.textContent = `Colours: ${words[theme]}`;
  };
  const kept = () => {
    try { return localStorage.getItem("vssl-theme") ?? ""; } catch { return ""; }
  };
  const keep = (theme) => {
    try { localStorage.setItem("vssl-theme", theme); } catch { /* a page from a file may have no storage */ }
  };
  put(order.includes(kept()) ? kept() : "");
  button.addEventListener("click", () => {
    const next = order[(order.indexOf(document.documentElement.dataset.theme ?? "") + 1) % order.length];
    put(next);
    keep(next);
  });
  for (const part of document.querySelectorAll(".scripted")) part.hidden = false;
}
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
