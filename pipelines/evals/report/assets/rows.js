// Lists of rows of one height, of which only those in sight are elements.

const ROW_PIXELS = 58;
const ROWS_BEYOND = 6;

// Draw the rows in sight; `rowOf(value)` makes the element of one, which has an id.
function drawInSight(list, values, rowOf, selected, empty) {
  if (!values.length) {
    list.removeAttribute("aria-activedescendant");
    put(list, h("p", { class: "empty" }, empty));
    return;
  }
  const first = Math.max(0, Math.floor(list.scrollTop / ROW_PIXELS) - ROWS_BEYOND);
  const last = Math.min(values.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW_PIXELS) + ROWS_BEYOND);
  const space = h("div", { class: "space", role: "presentation" });
  space.style.height = `${values.length * ROW_PIXELS}px`;
  list.removeAttribute("aria-activedescendant");
  for (let place = first; place < last; place++) {
    const isSelected = values[place] === selected;
    const attributes = { role: "option", "aria-selected": String(isSelected), "aria-setsize": values.length, "aria-posinset": place + 1 };
    const element = fill(rowOf(values[place]), attributes, []);
    element.style.top = `${place * ROW_PIXELS}px`;
    if (isSelected) list.setAttribute("aria-activedescendant", element.id);
    space.append(element);
  }
  put(list, space);
}

// Scroll a list as little as shows the row; false: there is none.
function bringIntoSight(list, place) {
  if (place < 0) return false;
  const top = place * ROW_PIXELS;
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + ROW_PIXELS > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW_PIXELS - list.clientHeight;
  return true;
}

// Draw once a frame at most while a list is scrolled or changes its size.
function redrawOnScroll(list, draw) {
  let waiting = false;
  const redraw = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  };
  list.addEventListener("scroll", redraw, { passive: true });
  new ResizeObserver(redraw).observe(list);
}
