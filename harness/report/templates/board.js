"use strict";
const form = document.getElementById("filters");
const themeButton = document.getElementById("theme");
const root = document.documentElement;

function asked() {
  const data = new FormData(form);
  return {
    verdicts: new Set(data.getAll("verdict")),
    study: data.get("study"),
    words: data.get("words").toLowerCase().split(/[\s,]+/).filter(Boolean),
  };
}

function hide(element, isHidden) {
  element.toggleAttribute("data-hidden", isHidden);
}

// Every word must be found in what a claim or its classifier is called.
function matches(words, ...texts) {
  const text = texts.join(" ");
  return words.every((word) => text.includes(word));
}

function filter() {
  const { verdicts, study, words } = asked();
  const isAll = verdicts.size === form.querySelectorAll("[name=verdict]").length && !study && !words.length;
  let shown = 0;
  for (const element of document.querySelectorAll(".board [data-study]")) {
    hide(element, Boolean(study) && element.dataset.study !== study);
  }
  for (const row of document.querySelectorAll(".board tr.claim")) {
    let isShown = false;
    for (const cell of row.querySelectorAll("td[data-verdicts]")) {
      const isAsked = !cell.hasAttribute("data-hidden") &&
        cell.dataset.verdicts.split(" ").some((verdict) => verdicts.has(verdict)) &&
        matches(words, row.dataset.words, cell.dataset.words);
      cell.classList.toggle("dim", !isAsked);
      isShown ||= isAsked;
    }
    hide(row, !isShown);
    shown += isShown;
  }
  for (const group of document.querySelectorAll(".board tbody")) {
    hide(group, !group.querySelector("tr.claim:not([data-hidden])"));
  }
  for (const claim of document.querySelectorAll("details.claim")) {
    for (const cell of claim.querySelectorAll(".cell")) {
      const isAsked = (!study || cell.dataset.study === study) && matches(words, claim.dataset.words, cell.dataset.words);
      for (const proof of cell.querySelectorAll(".proof")) {
        hide(proof, !verdicts.has(proof.dataset.verdict));
      }
      hide(cell, !isAsked || !cell.querySelector(".proof:not([data-hidden])"));
    }
    hide(claim, !claim.querySelector(".cell:not([data-hidden])"));
  }
  const all = document.querySelectorAll(".board tr.claim").length;
  document.getElementById("shown").value = isAll ? "" : `${shown} of ${all} claims`;
}

// Whatever an address leads to is shown, open, and gets the focus.
function show() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const claim = target && target.closest("details.claim");
  if (!claim) return;
  if (target.closest("[data-hidden]") || target.querySelector("[data-hidden]")) {
    form.reset();
    filter();
  }
  claim.open = true;
  target.scrollIntoView();
  target.focus({ preventScroll: true });
}

form.hidden = false;
form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(filter));
window.addEventListener("hashchange", show);
show();

themeButton.hidden = false;
themeButton.addEventListener("click", () => {
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
});
