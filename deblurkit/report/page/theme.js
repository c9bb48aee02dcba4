// Light or dark, the copy button, and the mark that scripts run.
{
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const asked = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ?? (asked.matches ? "dark" : "light")) === "dark";

  // A file from disk may have no storage; the choice then lasts as long as the page is open.
  const kept = () => { try { return localStorage.getItem("deblurkit-theme"); } catch { return null; } };
  const keep = (theme) => { try { localStorage.setItem("deblurkit-theme", theme); } catch { /* no storage */ } };
  const label = () => { button.textContent = isDark() ? "Light" : "Dark"; button.title = `Show in ${button.textContent.toLowerCase()} colours`; };

  root.classList.add("scripted");
  if (["light", "dark"].includes(kept())) root.dataset.theme = kept();
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    keep(root.dataset.theme);
    label();
  });
  asked.addEventListener("change", label);
  label();

  const copy = document.getElementById("copy");
  const command = document.getElementById("command");
  const selectAll = () => {
    const range = document.createRange();
    range.selectNodeContents(command);
    window.getSelection().removeAllRanges();
    window.getSelection().addRange(range);
  };
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    selectAll(); // without a clipboard the reader copies what is selected
    try {
      await navigator.clipboard.writeText(command.textContent);
      copy.textContent = "Copied";
      say("The command is copied");
    } catch {
      copy.textContent = "Selected";
      say("The command is selected");
    }
  });
}
