// Before anything is drawn: light, dark, or as the system has it (no attribute).
{
  let theme = null;
  try { theme = localStorage.getItem("tertulia.theme"); } catch { /* As the system has it. */ }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}
