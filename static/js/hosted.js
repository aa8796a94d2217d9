// What htmx leaves open: where the focus goes, what is said aloud, and the second half of a double click.
// And which clock the customer lives by: receipts give times by it, too.
// The page does everything without this file.
(() => {
  const main = document.getElementById("main");
  const status = document.getElementById("status");
  const heading = () => main.querySelector("h1")?.textContent;
  let before = heading();
  let slow;

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) document.cookie = `lw_zone=${zone};path=/cancel;max-age=86400;samesite=lax`;

  const say = (text) => {
    clearTimeout(slow);
    status.textContent = text;
  };

  // The second click of a double click would press a button of the next screen.
  document.addEventListener("click", (event) => {
    if (event.detail > 1 && event.target.closest("button")) event.preventDefault();
  }, true);

  document.addEventListener("htmx:before:request", (event) => {
    say("");
    if (event.target.id === "step") slow = setTimeout(say, 700, status.dataset.wait);
  });

  document.addEventListener("htmx:error", () => say(status.dataset.offline));

  document.addEventListener("htmx:after:swap", (event) => {
    say("");
    const isPoll = event.detail.ctx.request.method === "GET" && heading() === before;
    before = heading();
    if (isPoll) return;
    scrollTo(0, 0);
    main.querySelector(".problem, h1")?.focus({ preventScroll: true });
  });
})();
