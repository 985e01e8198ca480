// Words for a screen reader; at once only for what cannot wait.

export function announce(words, now = false) {
  const place = document.getElementById("announce");
  place.setAttribute("aria-live", now ? "assertive" : "polite");
  place.textContent = words;
}
