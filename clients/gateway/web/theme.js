'use strict';
// Light or dark: what the system says, until somebody presses the button; then that, here and on the
// next visit. A plain script in the head, so that the page is never drawn in the wrong colours first.

(() => {
  const KEY = 'chat.theme';
  const root = document.documentElement;
  const dark = matchMedia('(prefers-color-scheme: dark)');

  // Storage may be forbidden; the theme then lasts as long as the page.
  const recall = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null;
    }
  };
  const remember = (theme) => {
    try {
      if (theme) localStorage.setItem(KEY, theme);
      else localStorage.removeItem(KEY);
    } catch {
      // Nothing to be done about it.
    }
  };

  let chosen = recall();
  const isDark = () => (chosen ? chosen === 'dark' : dark.matches);

  function show() {
    if (chosen === 'dark' || chosen === 'light') root.dataset.theme = chosen;
    else delete root.dataset.theme;
    for (const button of document.querySelectorAll('[data-theme-toggle]')) {
      button.setAttribute('aria-label', 'Dark theme');
      button.setAttribute('aria-pressed', String(isDark()));
    }
  }

  function toggle() {
    const wanted = isDark() ? 'light' : 'dark';
    // Who wants what the system says anyway goes on following the system.
    chosen = (wanted === 'dark') === dark.matches ? null : wanted;
    remember(chosen);
    show();
  }

  show();
  dark.addEventListener('change', show);
  document.addEventListener('DOMContentLoaded', () => {
    show();
    for (const button of document.querySelectorAll('[data-theme-toggle]')) {
      button.addEventListener('click', toggle);
    }
  });
})();
