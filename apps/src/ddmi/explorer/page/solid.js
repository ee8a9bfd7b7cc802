// A mesh (binary glTF) that is turned and approached; a new one keeps the camera of the one before.
ddmi.Solid = class {
  constructor(place) {
    this.canvas = ddmi.add(place, "canvas", { tabIndex: 0 });
    this.scene = new THREE.Scene();
    this.scene.background = new THREE.Color(0xffffff);
    this.camera = new THREE.PerspectiveCamera(35, 1, 0.01, 100);
    this.camera.position.set(1.3, 1.1, 1.9);
    this.scene.add(new THREE.HemisphereLight(0xffffff, 0x777c88, 0.6));
    this.lamp = new THREE.DirectionalLight(0xffffff, 0.5);
    this.scene.add(this.lamp);
    try {
      this.renderer = new THREE.WebGLRenderer({ canvas: this.canvas, antialias: true, preserveDrawingBuffer: true });
    } catch {
      ddmi.add(place, "p", { textContent: "this browser has no WebGL: take the mesh away as a file instead" });
      return;
    }
    this.controls = new THREE.TrackballControls(this.camera, this.canvas);
    Object.assign(this.controls, { rotateSpeed: 3, staticMoving: true, noPan: true, minDistance: 0.4, maxDistance: 12 });
    this.going = true;
    const step = () => {
      if (!this.going) return;
      this.controls.update();
      this.draw();
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  draw() {
    const side = Math.round(this.canvas.clientWidth * Math.min(2, window.devicePixelRatio)) || 1;
    if (this.side !== side) {
      this.side = side;
      this.renderer.setSize(side, side, false);
      this.controls.handleResize();
    }
    this.lamp.position.copy(this.camera.position).add(new THREE.Vector3(-0.6, 1.2, 0.3));
    this.renderer.render(this.scene, this.camera);
  }

  // Shows it; gives how many triangles it has.
  // Null where nothing can be shown, and where another came meanwhile.
  async put(bytes) {
    const turn = (this.turn = (this.turn || 0) + 1);
    if (!this.renderer) return null;
    if (!bytes.byteLength) {
      this.clear();
      return 0;
    }
    const read = await new Promise((good, bad) => new THREE.GLTFLoader().parse(bytes, "", good, bad));
    let faces = 0;
    read.scene.traverse((part) => {
      if (!part.isMesh) return;
      const coloured = !!part.geometry.attributes.color;
      const colour = coloured ? 0xffffff : 0x8fa8cc;
      part.material = new THREE.MeshLambertMaterial({ color: colour, vertexColors: coloured, side: THREE.DoubleSide });
      faces += part.geometry.index ? part.geometry.index.count / 3 : part.geometry.attributes.position.count / 3;
    });
    if (turn !== this.turn || !this.going) return null;
    this.clear();
    this.mesh = read.scene;
    this.scene.add(this.mesh);
    if (!this.placed) {
      const box = new THREE.Box3().setFromObject(this.mesh);
      const radius = box.getBoundingSphere(new THREE.Sphere()).radius;
      this.camera.position.normalize().multiplyScalar(radius * 3.6);
      Object.assign(this.controls, { minDistance: radius * 0.8, maxDistance: radius * 20 });
      this.placed = true;
    }
    return faces;
  }

  // Nothing is shown any more, and what it took on the graphics card is free.
  clear() {
    this.mesh?.traverse((part) => {
      part.geometry?.dispose();
      part.material?.dispose();
    });
    if (this.mesh) this.scene.remove(this.mesh);
    this.mesh = null;
  }

  close() {
    this.going = false;
    this.clear();
    this.controls?.dispose();
    this.renderer?.dispose();
    this.renderer?.forceContextLoss();
  }
};
