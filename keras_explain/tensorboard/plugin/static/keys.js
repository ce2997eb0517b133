// Keys for the whole page. Fields keep their own: arrows in a slider move that slider.

export const KEYS = [
  ["← →", "epoch before, next epoch"],
  ["Home End", "first epoch, newest epoch"],
  ["Space", "play, pause"],
  ["↑ ↓", "more, less of the map"],
  ["O", "picture alone, picture with map"],
  ["C", "other colors"],
  ["Tab, Enter", "next example, enlarge it"],
  ["Esc", "close what is enlarged"],
  ["?", "these keys"],
];

/** Listen for keys and act on the app. */
export function handleKeys(app) {
  const { state } = app;
  const opacity = (by) => {
    const value = Math.round((state.opacity + by) * 20) / 20;
    state.set({ opacity: Math.min(1, Math.max(0, value)) });
  };
  let before = 0.5;
  const actions = {
    ArrowLeft: () => app.goTo(app.index() - 1),
    ArrowRight: () => app.goTo(app.index() + 1),
    Home: () => app.goTo(0),
    End: () => app.goTo(app.grid.steps.length - 1),
    " ": () => app.togglePlay(),
    ArrowUp: () => opacity(0.05),
    ArrowDown: () => opacity(-0.05),
    o: () => {
      if (state.opacity > 0) before = state.opacity;
      state.set({ opacity: state.opacity > 0 ? 0 : before });
    },
    c: () => {
      for (const [name, choice] of Object.entries(app.controls.colors)) {
        const names = [...choice.input.options].map((option) => option.value);
        state.set({ [name]: names[(names.indexOf(state[name]) + 1) % names.length] });
      }
    },
    "?": () => app.help.showModal(),
  };
  document.addEventListener("keydown", (event) => {
    const act = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act || !app.grid || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("select, input")) return;
    if (event.key === " " && event.target.closest("button")) return;
    event.preventDefault();
    act();
  });
}
