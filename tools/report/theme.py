"""Looks and behaviour of the page: calm greys, colour for the abnormal and to tell runs apart.

After ISA-101: nothing blinks, shape and text say what colour says. The script adds a crosshair with
read-outs over all charts of the same span; without it the page shows the same.
"""

from __future__ import annotations

__all__ = ["SCRIPT", "STYLE"]

STYLE = """
:root{--page:#e3e5e7;--panel:#f2f3f4;--field:#fafafa;--ink:#24292e;--soft:#5c646b;--rule:#c5cacd;
--grid:#e4e6e8;--nmpc:#1d4f8c;--pid:#b3701a;--plc:#8b9299;--bad:#b3261e;--warn:#d8a11e}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:14px/1.45 system-ui,"Segoe UI","Helvetica Neue",Arial,sans-serif}
main{max-width:1220px;margin:0 auto;padding:20px 20px 60px}
header h1{font-size:21px;margin:0;font-weight:600}
header p{margin:4px 0 0;color:var(--soft);max-width:78ch}
h2{font-size:15px;margin:28px 0 8px;font-weight:600}
h2 small{font-weight:400;color:var(--soft);margin-left:8px;font-size:13px}
.panel{background:var(--panel);border:1px solid var(--rule);border-radius:4px;padding:12px 14px}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:6px 18px;
margin-top:14px}
.facts div{font-variant-numeric:tabular-nums}
.facts span{display:block;color:var(--soft);font-size:12px}
.facts code{font:12px ui-monospace,Consolas,monospace}
.grid{display:grid;grid-template-columns:1fr 1fr;gap:10px}
@media(max-width:880px){.grid{grid-template-columns:1fr}}
.grid .panel{padding:8px 8px 4px}
svg{display:block;width:100%;height:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:13px}
th{font-weight:600;text-align:right;border-bottom:1px solid var(--ink);padding:3px 10px}
td{text-align:right;padding:2px 10px;border-bottom:1px solid var(--grid)}
th:first-child,td:first-child,.unit-cell{text-align:left}
.unit-cell,.who{color:var(--soft)}
.group td{font-weight:600;padding-top:9px;border-bottom:1px solid var(--rule)}
.short td:last-child{white-space:nowrap}
.missed{color:var(--bad);font-weight:600}
.below{margin-top:10px;padding:8px 8px 4px}
.two{display:grid;grid-template-columns:1fr 1fr;gap:10px;align-items:start}
@media(max-width:980px){.two{grid-template-columns:1fr}}
.events td{text-align:left;vertical-align:top}
.events .t{white-space:nowrap}
.events .alarm td{color:var(--bad)}
.key{display:flex;flex-wrap:wrap;gap:4px 18px;color:var(--soft);font-size:12.5px;margin:10px 0 8px}
.key i{display:inline-block;width:22px;height:0;border-top:2px solid;margin-right:6px;
vertical-align:middle}
.key b{display:inline-block;width:14px;height:11px;margin-right:6px;vertical-align:-1px;
border:1px solid rgba(0,0,0,.15)}
.glossary{color:var(--soft);font-size:12.5px;max-width:105ch}
text{font-family:inherit;fill:var(--ink)}
.title{font-size:12.5px;font-weight:600}
.unit{font-weight:400;fill:var(--soft);font-size:11.5px}
.tick,.note{font-size:10.5px;fill:var(--soft)}
.number{font-size:9px;fill:var(--soft)}
.end{text-anchor:end}.mid{text-anchor:middle}
.field{fill:var(--field)}.before{fill:#eceef0}
.grid-line,line.grid{stroke:var(--grid);stroke-width:1}
.axis{stroke:var(--rule)}.tickmark{stroke:var(--rule)}
.mark{stroke:#9aa1a7;stroke-width:1;stroke-dasharray:1.5 3}
.limit{stroke:#6d747a;stroke-width:1;stroke-dasharray:6 3}
.line{fill:none;stroke-width:1.3;stroke-linejoin:round}
.nmpc{stroke:var(--nmpc)}.pid{stroke:var(--pid)}.plc{stroke:var(--plc)}
path.line.nmpc{stroke-width:1.6}
.truth{stroke:#24292e;stroke-width:1}
.sp{stroke:#24292e;stroke-width:1;stroke-dasharray:2 2}
.band.ci{fill:#1d4f8c;fill-opacity:.16;stroke:none}
.bars{fill-opacity:.1;stroke-width:1.3}
.bars.nmpc{fill:var(--nmpc)}.bars.pid{fill:var(--pid)}.bars.plc{fill:var(--plc)}
.dot.lab{fill:#fff;stroke:#24292e;stroke-width:1.1}
.state{stroke:#f2f3f4;stroke-width:.6}
.s0{fill:#fff}.s1{fill:#d9dcdf}.s2{fill:#b9bfc4}.s3{fill:#7f878e}.bad{fill:var(--bad)}
.warn{fill:var(--warn)}
.state-text{font-size:10px}.s3-text,.bad-text{fill:#fff}
.cross{stroke:#24292e;stroke-width:.7;pointer-events:none}
.read{font-size:10.5px;font-weight:600;pointer-events:none;paint-order:stroke;stroke:#fafafa;
stroke-width:3px}
.read.nmpc{fill:var(--nmpc)}.read.pid{fill:var(--pid)}.read.plc{fill:var(--plc)}
.read.nmpc,.read.pid,.read.plc,.read.truth,.read.sp{stroke:#fafafa;stroke-width:3px;
stroke-dasharray:none}
@media print{body{background:#fff}.panel{break-inside:avoid}}
"""

# Lines are read back from their paths: no number is in the page twice.
SCRIPT = """
(function(){
const L=52,R=542,T=30,B=174,NS='http://www.w3.org/2000/svg';
const charts=[...document.querySelectorAll('svg.chart')].map(function(svg){
  const x=svg.dataset.x.split(',').map(Number),y=svg.dataset.y.split(',').map(Number);
  const lines=[...svg.querySelectorAll('path.line')].map(function(p){
    const n=(p.getAttribute('d')||'').split(/[ML,]/).filter(Boolean).map(Number),pts=[];
    for(let i=0;i+1<n.length;i+=2)pts.push([n[i],n[i+1]]);
    return{name:p.dataset.name,css:p.getAttribute('class').replace('line ',''),pts:pts};
  });
  const g=document.createElementNS(NS,'g');svg.appendChild(g);
  return{svg:svg,x:x,y:y,lines:lines,g:g};
}).filter(function(c){return c.lines.length;});
function value(c,py){
  const v=c.y[0]+(B-py)/(B-T)*(c.y[1]-c.y[0]);
  return c.svg.dataset.counts==='1'?Math.pow(10,v)-1:v;
}
function show(px){
  charts.forEach(function(c){
    c.g.textContent='';
    if(px===null)return;
    const add=function(kind,attrs,text){
      const e=document.createElementNS(NS,kind);
      for(const k in attrs)e.setAttribute(k,attrs[k]);
      if(text)e.textContent=text;
      c.g.appendChild(e);
    };
    add('line',{'class':'cross',x1:px,x2:px,y1:T,y2:B});
    const span=c.svg.dataset.counts==='1'?100:c.y[1]-c.y[0];
    const digits=Math.max(0,2-Math.floor(Math.log10(span)));
    const left=px<(L+R)/2;
    c.lines.forEach(function(l,i){
      let at=null;
      for(const p of l.pts){if(p[0]<=px+0.6)at=p;else break;}
      if(!at||px-at[0]>8&&l.css!=='sp'&&l.css!=='truth')return;
      add('text',{'class':'read '+l.css,x:left?px+6:px-6,y:T+12+12*i,
        'text-anchor':left?'start':'end'},l.name+' '+value(c,at[1]).toFixed(digits));
    });
    const t=c.x[0]+(px-L)/(R-L)*(c.x[1]-c.x[0]);
    add('text',{'class':'read',x:left?px+6:px-6,y:B-5,'text-anchor':left?'start':'end'},
      t.toFixed(1)+' min');
  });
}
charts.forEach(function(c){
  c.svg.addEventListener('mousemove',function(e){
    const b=c.svg.getBoundingClientRect(),px=(e.clientX-b.left)/b.width*560;
    show(px>=L&&px<=R?px:null);
  });
  c.svg.addEventListener('mouseleave',function(){show(null);});
});
})();
"""
