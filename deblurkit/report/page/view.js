// What part of a picture is shown: how far it is zoomed in, and which of its points is in the middle. All frames, of
// whatever size, share one view and so show the same part.
class View {
  static MOST_ZOOM = 32;
  static PIXELS_FROM = 2; // screen pixels for one of the image's, from which on its pixels are shown as squares
  static STEP = 1.4;
  static SMALL = 300; // pixels: a longer side below it is drawn twice as large where all is shown, others as they are

  // `frames` returns the elements that hold images; `drawn` is told the percentage that the first one shows.
  constructor(frames, drawn) {
    Object.assign(this, { frames, drawn, zoom: 1, x: 0.5, y: 0.5, width: 3, height: 2 });
  }

  // A new picture of this size, as a whole.
  reset(width, height) {
    Object.assign(this, { zoom: 1, x: 0.5, y: 0.5, width, height });
  }

  // The most screen pixels for one of the image's where the whole picture is shown: more would show blocks or blur.
  get largest() {
    return Math.max(this.width, this.height) < View.SMALL ? 2 : 1;
  }

  // A frame's size, and screen pixels for one of the image's where the whole picture fits.
  fitOf(frame) {
    const [width, height] = [frame.clientWidth, frame.clientHeight];
    return { width, height, fit: Math.min(width / this.width, height / this.height, this.largest) };
  }

  // Keep the middle where the picture covers the frame, or is centred in it.
  clamp() {
    const { width, height, fit } = this.fitOf(this.frames()[0]);
    const within = (middle, frame, image) => {
      const margin = frame / (2 * image * fit * this.zoom);
      return margin >= 0.5 ? 0.5 : Math.min(1 - margin, Math.max(margin, middle));
    };
    this.x = within(this.x, width, this.width);
    this.y = within(this.y, height, this.height);
  }

  draw() {
    this.clamp();
    for (const frame of this.frames()) {
      const { width, height, fit } = this.fitOf(frame);
      const scale = fit * this.zoom;
      const [left, top] = [width / 2 - this.x * this.width * scale, height / 2 - this.y * this.height * scale];
      for (const image of frame.querySelectorAll("img")) {
        image.style.transform = `translate(${left}px, ${top}px) scale(${scale})`;
      }
      frame.classList.toggle("pixels", scale >= View.PIXELS_FROM);
      frame.classList.toggle("zoomed", this.zoom > 1);
    }
    this.drawn(Math.round(100 * this.fitOf(this.frames()[0]).fit * this.zoom));
  }

  // Zoom, at least to the whole picture or to 1:1, so that one place of a frame, in [0, 1], keeps what it shows.
  zoomTo(zoom, frame = this.frames()[0], atX = 0.5, atY = 0.5) {
    const { width, height, fit } = this.fitOf(frame);
    const offset = () => {
      const scale = fit * this.zoom;
      return [(atX - 0.5) * width / (this.width * scale), (atY - 0.5) * height / (this.height * scale)];
    };
    const before = offset();
    this.zoom = Math.min(View.MOST_ZOOM, Math.max(Math.min(1, 1 / fit), zoom));
    const after = offset();
    this.x += before[0] - after[0];
    this.y += before[1] - after[1];
    this.draw();
  }

  zoomIn() { this.zoomTo(this.zoom * View.STEP); }
  zoomOut() { this.zoomTo(this.zoom / View.STEP); }
  showAll() { this.zoomTo(1); }
  showPixels() { this.zoomTo(1 / this.fitOf(this.frames()[0]).fit); }

  // Move the picture by screen pixels.
  panBy(dx, dy) {
    const scale = this.fitOf(this.frames()[0]).fit * this.zoom;
    this.x -= dx / (this.width * scale);
    this.y -= dy / (this.height * scale);
    this.draw();
  }
}
