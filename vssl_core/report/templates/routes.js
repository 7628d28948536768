// #cell-… shows that cell alone with the curves of its method, #method-… all cells of one, #all everything.
const overview = document.getElementById("overview");
const pageTitle = document.title;

function showRoute() {
  const [place, query = ""] = location.hash.slice(1).split("?");
  const target = place ? document.getElementById(decodeURIComponent(place)) : null;
  const all = place === "all";
  const method = target?.closest("section.method");
  const cell = target?.closest("article.cell");
  overview.hidden = Boolean(method) && !all;
  for (const each of document.querySelectorAll("section.method")) each.hidden = !all && each !== method;
  for (const each of document.querySelectorAll("article.cell")) each.hidden = !all && Boolean(cell) && each !== cell;
  document.title = method && !all ? `${(cell ?? method).querySelector("h2, h3").textContent} · ${pageTitle}` : pageTitle;
  if (!method && (place === "results" || place === "")) loadState(new URLSearchParams(query));
  if (method) {
    scrollTo(0, 0);
    method.querySelector("h2").focus({ preventScroll: true });
  } else if (target) {
    target.scrollIntoView();
  }
}

addEventListener("hashchange", showRoute);
loadState(new URLSearchParams());
showRoute();
