// A classic script in the head: the chosen theme must stand before the first paint.
try {
  const theme = localStorage.getItem("samovar-theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden; the system's preference then rules.
}
