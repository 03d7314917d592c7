// What pages do beyond links and forms. Every page works without it.
"use strict";

const dialog = document.getElementById("dialog");

// Questions before a decision come in a dialog; without JavaScript they are pages of their own.
document.body.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id === "dialog-content" && !dialog.open) dialog.showModal();
});

document.addEventListener("click", (event) => {
  const cancel = event.target.closest("[data-cancel]");
  if (cancel && dialog.contains(cancel)) {
    event.preventDefault();
    dialog.close();
  }
  if (event.target === dialog) dialog.close();
  const toggle = event.target.closest("[data-theme-toggle]");
  if (toggle) {
    const isDark = getComputedStyle(document.documentElement).colorScheme === "dark"
      || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
    const theme = isDark ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    localStorage.setItem("theme", theme);
    document.dispatchEvent(new Event("themed"));
  }
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
});

// A refusal has words of its own: they are shown where the answer would have been.
document.body.addEventListener("htmx:beforeSwap", (event) => {
  const status = event.detail.xhr.status;
  if (status < 400 || status === 401) return;
  const page = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html");
  const told = page.querySelector("#confirm p");
  document.querySelector(".notice.trouble")?.remove();
  const notice = Object.assign(document.createElement("p"), {
    className: "notice bad trouble",
    textContent: told ? told.textContent : "The server did not answer: try again.",
  });
  notice.setAttribute("role", "alert");
  document.querySelector("main h1")?.after(notice);
});

// What changes by itself is read again, unless somebody is in the middle of it.
setInterval(() => {
  const live = document.getElementById("live");
  const isHeld = live && (live.contains(document.activeElement) || dialog.open || !getSelection().isCollapsed);
  if (live && !isHeld && document.visibilityState === "visible") htmx.trigger(live, "refresh");
}, 5000);

document.querySelector(".top [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
for (const wide of document.querySelectorAll("[data-scroll-end]")) wide.scrollLeft = wide.scrollWidth;
