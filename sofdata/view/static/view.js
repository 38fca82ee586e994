// The player of a window's page: the frames of the video and the flow between them, step by step.
"use strict";

const BLANK_MS = 250; // between the last step and the first

function picture(address) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("a picture cannot be shown"));
    image.src = address;
  });
}

// The frames as one picture, or why there are none: the server says so in words.
async function framesAt(address) {
  const answer = await fetch(address);
  if (!answer.ok) {
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    throw new Error((page.querySelector(".warn") || page.body).textContent.trim());
  }
  return picture(URL.createObjectURL(await answer.blob()));
}

class Player {
  constructor(root) {
    this.root = root;
    this.times = root.dataset.times.split(" ").map(Number);
    this.steps = this.times.length - 1;
    this.step = 0;
    this.playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.find = (name) => root.querySelector(name);
    this.shape();
    this.listen();
  }

  shape() {
    const wide = Number(this.root.dataset.wide);
    for (const canvas of this.root.querySelectorAll("canvas")) {
      canvas.width = Math.round(512 * Math.min(1, wide));
      canvas.height = Math.round(512 / Math.max(1, wide));
    }
  }

  listen() {
    this.find(".play").onclick = () => { this.playing = !this.playing; this.show(); this.next(); };
    this.find(".step").oninput = (event) => { this.playing = false; this.step = Number(event.target.value); this.show(); };
    this.find(".over").onchange = () => this.show();
  }

  async load() {
    const data = this.root.dataset;
    [this.flow, this.first, this.last] = await Promise.all([data.flow, data.first, data.last].map(picture));
    this.show();
    this.next();
    if (data.frames) {
      this.find(".which").textContent = "video: its frames are being decoded";
      try {
        this.frames = await framesAt(data.frames);
        this.root.dataset.ready = "frames";
      } catch (error) {
        this.find(".why").textContent = `The video's own frames are not shown: ${error.message}. First and last frame are those of the dataset.`;
      }
    }
    this.root.dataset.ready ||= "flow";
    this.show();
  }

  // A step is the flow from one frame to the next: it is shown beside the frame that it begins with.
  show() {
    const frame = this.find(".frame"), flow = this.find(".flow");
    const pen = frame.getContext("2d"), other = flow.getContext("2d");
    for (const each of [pen, other]) each.clearRect(0, 0, frame.width, frame.height);
    this.drawFrame(pen, frame);
    const height = this.flow.naturalHeight / this.steps;
    const part = [this.flow, 0, this.step * height, this.flow.naturalWidth, height, 0, 0, flow.width, flow.height];
    other.drawImage(...part);
    if (this.find(".over").checked) pen.drawImage(...part);
    this.find(".step").value = this.step;
    this.find(".play").textContent = this.playing ? "Pause" : "Play";
    this.find(".time").textContent = `step ${this.step + 1} of ${this.steps}, ${this.times[this.step].toFixed(2)} – ${this.times[this.step + 1].toFixed(2)} s`;
  }

  drawFrame(pen, canvas) {
    const which = this.find(".which");
    if (this.frames) {
      const height = this.frames.naturalHeight / (this.steps + 1);
      pen.drawImage(this.frames, 0, this.step * height, this.frames.naturalWidth, height, 0, 0, canvas.width, canvas.height);
      which.textContent = `video, frame at ${this.times[this.step].toFixed(2)} s`;
      return;
    }
    const late = this.step > this.steps / 2;
    pen.drawImage(late ? this.last : this.first, 0, 0, canvas.width, canvas.height);
    which.textContent = late ? `last frame, ${this.times[this.steps].toFixed(2)} s` : `first frame, ${this.times[0].toFixed(2)} s`;
  }

  next() {
    clearTimeout(this.timer);
    if (!this.playing) return;
    const speed = Number(this.find(".speed").value);
    const lasts = 1000 * (this.times[this.step + 1] - this.times[this.step]) / speed;
    const pause = this.step === this.steps - 1 ? BLANK_MS : 0;
    this.timer = setTimeout(() => {
      if (!this.playing) return;
      this.step = (this.step + 1) % this.steps;
      this.show();
      this.next();
    }, Math.min(lasts, 2000) + pause);
  }
}

for (const root of document.querySelectorAll(".player")) {
  const player = new Player(root);
  player.load().catch((error) => { root.querySelector(".why").textContent = error.message; });
}
