// A classic script in the head: theme and language must stand before the first paint.
{
  const root = document.documentElement;
  try {
    const theme = localStorage.getItem("samovar-theme");
    if (theme) root.dataset.theme = theme;
    // The page is served in the language that its address names (that counts as a choice), or else in one that
    // the browser accepts: a choice made here goes before that.
    if (/[?&]lang=(en|zh)\b/i.test(location.search)) localStorage.setItem("samovar-language", root.lang);
    else root.lang = localStorage.getItem("samovar-language") || root.lang;
  } catch {
    // Storage may be forbidden; the system's preferences then rule.
  }
}
